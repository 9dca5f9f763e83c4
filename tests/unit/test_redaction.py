"""No personal data leaves: whatever surrounds it, and in every recorded tweet."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeders.analysis.redaction import MARKS, author_hash, author_key, redact

CAPTURES = Path(os.environ.get("CHCTL_CAPTURES", Path(__file__).parents[3] / "shared" / "data"))

digits = st.text("0123456789", min_size=1)


def luhn_complete(body: str) -> str:
    """Append the check digit of ISO/IEC 7812-1."""
    total = sum(sum(divmod(int(c) * (2 if i % 2 == 0 else 1), 10)) for i, c in enumerate(reversed(body)))
    return body + str(-total % 10)


emails = st.from_regex(r"[a-z0-9]{1,12}([._+-][a-z0-9]{1,8})?@[a-z0-9]{1,12}(\.[a-z]{2,6}){1,2}", fullmatch=True)
cards = st.builds(
    lambda body, sep: sep.join(re.findall(".{1,4}", luhn_complete(body))),
    st.from_regex(r"[3-6][0-9]{14}", fullmatch=True),
    st.sampled_from(["", " ", "-"]),
)
phones = st.one_of(
    st.from_regex(r"\+[1-9][0-9]{0,2}[ .-]?[0-9]{2,4}[ .-]?[0-9]{3,4}[ .-]?[0-9]{3,4}", fullmatch=True),
    st.from_regex(r"\([2-9][0-9]{2}\) [0-9]{3}-[0-9]{4}", fullmatch=True),
    st.from_regex(r"[2-9][0-9]{2}[-. ][0-9]{3}[-. ][0-9]{4}", fullmatch=True),
)
accounts = st.from_regex(r"[1-9][0-9]{8,24}", fullmatch=True)
ips = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str).filter(lambda a: len(a) > 4)
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
wallets = st.one_of(
    st.from_regex(r"0x[0-9a-fA-F]{40}([0-9a-fA-F]{24})?", fullmatch=True),
    st.from_regex(r"bc1[ac-hj-np-z02-9]{39,59}", fullmatch=True),
    st.text(BASE58, min_size=26, max_size=44).filter(lambda a: any(c.isdigit() for c in a)),
)
handles = st.from_regex(r"@[A-Za-z0-9_]{1,15}", fullmatch=True)
user_ids = st.builds(
    lambda word, sign, n: f"{word}{sign}{n}",
    st.sampled_from(["user id", "uid", "User ID", "account no", "member number"]),
    st.sampled_from([" ", ": ", "=", " #"]),
    st.from_regex(r"[1-9][0-9]{2,7}", fullmatch=True),
)
urls = st.builds(
    lambda scheme, host, token: f"{scheme}{host}/login?token={token}",
    st.sampled_from(["http://", "https://", "HTTPS://", "www.", "tg://", ""]),
    st.from_regex(r"[a-z]{1,10}\.(com|io|org|xyz)", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9]{6,20}", fullmatch=True),
)
# What a secret stands in. A digit or a decimal sign that touches it would make another number of it.
surroundings = st.text(max_size=30).filter(lambda t: not re.search(r"[\d.,/\-+(@:_]\s*\Z|\A\s*[\d.,/\-@:_%]", t))


@pytest.mark.parametrize(
    ("secrets", "mark"),
    [
        (emails, "[EMAIL]"),
        (cards, "[CARD]"),
        (phones, "[PHONE]"),
        (accounts, "[ACCOUNT]"),
        (ips, "[IP]"),
        (wallets, "[WALLET]"),
        (handles, "[HANDLE]"),
        (user_ids, "[USER_ID]"),
        (urls, "[URL]"),
    ],
    ids=lambda p: p if isinstance(p, str) else "",
)
def test_a_secret_survives_in_no_surroundings(secrets: st.SearchStrategy[str], mark: str) -> None:
    @settings(max_examples=150, deadline=None)
    @given(secret=secrets, before=surroundings, after=surroundings)
    def check(secret: str, before: str, after: str) -> None:
        assert mark in MARKS
        core = re.sub(r"^(user id|uid|account no|member number)\W*", "", secret, flags=re.IGNORECASE)
        redacted = redact(f"{before} {secret} {after}")
        if core not in redact(before) + redact(after):
            assert core not in redacted
        assert any(m in redacted for m in MARKS)

    check()


@pytest.mark.parametrize(
    ("post", "redacted"),
    [
        ("mail joe.doe+btc@example.co.uk now", "mail [EMAIL] now"),
        ("joe (at) example (dot) com", "[EMAIL]"),
        ("call +49 171 1234567 or (555) 123-4567", "call [PHONE] or [PHONE]"),
        ("card 4111 1111 1111 1111 stolen", "card [CARD] stolen"),
        ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [ACCOUNT] please"),
        ("from 192.168.1.20 and 2001:db8::ff00:42:8329", "from [IP] and [IP]"),
        ("send to 0x52908400098527886E0F7030069857D2E4169EE7!", "send to [WALLET]!"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa is Satoshi", "[WALLET] is Satoshi"),
        ("thanks @whale_alert and /u/satoshi", "thanks [HANDLE] and [HANDLE]"),
        ("<@!80351110224678912> my user id is 42317", "[USER_ID] my user id is [USER_ID]"),
        ("see https://x.com/a?token=s3cr3t and t.me/joe", "see [URL] and [URL]"),
        ("j\u00adoe\u200b@example.com", "[EMAIL]"),
        ("joe&#64;example.com", "[EMAIL]"),
        ("\uff14\uff11\uff11\uff11 1111 1111 1111", "[CARD]"),
    ],
)
def test_each_kind_gets_its_mark(post: str, redacted: str) -> None:
    assert redact(post) == redacted


@pytest.mark.parametrize(
    "post",
    [
        "$BTC broke $64,123.50 on 2024-08-09, +3.2% today 🚀",
        "ETH/USDT 2450.75 -> 2600, R:R 1:3, 10x long",
        "24h volume 1,234,567,890 and funding 0.0125%",
        "bought at 12:30:45, std::vector is not an address",
        "soooooooooooooooooooooooooooooo good",
        "#theanaloguepilotwitterawards2011",
        "family 👨\u200d👩\u200d👧 holds",
    ],
)
def test_what_sentiment_needs_stays(post: str) -> None:
    assert redact(post) == post


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.text("0123456789@.:/-+() \n[]ABCxyz_u#&;amp")))
def test_redaction_is_total_and_idempotent(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


def test_no_recorded_tweet_keeps_a_handle_a_link_or_an_address() -> None:
    tweets = CAPTURES / "sentiment" / "vader_tweets.tsv"
    if not tweets.exists():
        pytest.skip(f"no recorded tweets at {tweets}: set CHCTL_CAPTURES")
    texts = [line.split("\t", 2)[2] for line in tweets.read_text().splitlines()]
    assert len(texts) == 2100
    leaks = [t for t in map(redact, texts) if re.search(r"@\w|https?:|www\.|\.com/|\d{9,}", t)]
    assert leaks == []
    # and words are still there: redaction is not done by throwing posts away
    kept = sum(len(redact(t)) for t in texts) / sum(len(t) for t in texts)
    assert kept > 0.9


def test_authors_are_hashed_with_a_key() -> None:
    assert author_hash(b"k" * 32, "reddit", "satoshi") == author_hash(b"k" * 32, "reddit", "satoshi")
    assert author_hash(b"k" * 32, "reddit", "satoshi") != author_hash(b"other" * 8, "reddit", "satoshi")
    assert author_hash(b"k" * 32, "reddit", "satoshi") != author_hash(b"k" * 32, "twitter", "satoshi")
    assert author_hash(b"k" * 32, "reddit", "") == ""


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "author.key"
    assert author_key(path) == author_key(path)
    assert path.stat().st_mode & 0o077 == 0
