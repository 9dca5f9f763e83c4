"""Personal data out of a post, before the text leaves this process.

`redact` is pure and total: any string in, a string with typed marks out, and `redact(redact(x)) == redact(x)`. It errs
on the side of privacy: what may be an account number is one. Prices, percentages, dates and cashtags stay, since
sentiment needs them.
"""

from __future__ import annotations

import html
import ipaddress
import os
import re
import unicodedata
from hashlib import blake2b
from pathlib import Path

EMAIL, PHONE, CARD, ACCOUNT = "[EMAIL]", "[PHONE]", "[CARD]", "[ACCOUNT]"
IP, WALLET, HANDLE, USER_ID, URL = "[IP]", "[WALLET]", "[HANDLE]", "[USER_ID]", "[URL]"

#: Every mark that `redact` may put into a text.
MARKS = (EMAIL, PHONE, CARD, ACCOUNT, IP, WALLET, HANDLE, USER_ID, URL)

# A URL may carry a session or a referral code anywhere, so the whole of it goes. The other forms are links that someone
# typed without a scheme.
_URL = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,15}://\S*|www\.\S+|(?:[a-z0-9-]+\.)+[a-z]{2,24}(?::\d+)?[/?]\S*|\bt\.me\b\S*", re.IGNORECASE
)
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@(?:[\w-]+(?:\.[\w-]+)+|\[[^\]\s]*\])|\bmailto:\S+")
_SPELLED_EMAIL = re.compile(
    r"[\w.+-]+\s*[\[({<]\s*at\s*[\])}>]\s*[\w-]+(?:\s*(?:\.|[\[({<]\s*dot\s*[\])}>])\s*[\w-]+)+"
    r"|[\w.+-]+ at [\w-]+ dot [a-z]{2,}",
    re.IGNORECASE,
)
_MENTION_ID = re.compile(r"<[@#][!&]?[A-Z]?\w+>")
# A redacted address in front of an @ ("[EMAIL]@x") must not hide the handle behind it, so there is no left boundary.
_HANDLE = re.compile(r"@[\w.-]*\w|(?<![\w/])/?u/[\w-]{3,}")
_WALLET = re.compile(
    r"0x[0-9a-fA-F]{16,}"  # EVM address, contract, transaction hash
    r"|(?:bc1|tb1|ltc1|addr1|cosmos1|osmo1|stake1|bnb1|terra1)[a-z0-9]{20,}"  # bech32
    r"|(?:bitcoincash:)[a-z0-9]{20,}",
    re.IGNORECASE,
)
_LONG_RUN = re.compile(r"[A-Za-z0-9_-]{25,}")  # base58 addresses, API keys, session ids
_IPV4 = re.compile(r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\.?\d)")
_IPV6 = re.compile(r"(?<![\w:])(?=[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:)[0-9a-fA-F:]+(?:\.\d+){0,3}(?:%\w+)?")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,4})?\b")
_USER_ID = re.compile(
    r"\b((?:user|member|customer|client|account|acct|login|telegram|tg|discord|uid|kyc)[ _-]?"
    r"(?:id|no|num|number|name)?\s*(?:is|[:=#])?\s*#?)(?=\w*\d)([\w-]{3,})",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"[+(]?\d(?:[\d ().,\-/\u2010-\u2015]{0,3}\d)*")
_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}(?:[ ,]+\d{1,2})?|\d{1,2}[-./]\d{1,2}[-./](?:\d{4}|\d{2})")
_NUMBER = re.compile(r"(?:\d{1,8}|\d{1,3}(?:,\d{3}){1,3})(?:\.\d{1,12})?")
_INVISIBLE = {"Cf", "Cc", "Cs", "Co", "Cn"}  # soft hyphens and joiners inside a number would hide it


def _plain(text: str) -> str:
    """Entities resolved, compatibility forms folded (fullwidth digits and signs), invisible characters gone."""
    for _ in range(4):  # "&amp;amp;#64;" hides an @ behind two levels
        resolved = html.unescape(text)
        if resolved == text:
            break
        text = resolved
    folded = unicodedata.normalize("NFKC", text)
    shown = (c if c in "\n\t\u200d" or unicodedata.category(c) not in _INVISIBLE else "" for c in folded)
    return _joiners("".join(shown))


def _joiners(text: str) -> str:
    """Keep zero-width joiners only where they build an emoji: between two characters that are no letter or digit."""
    if "\u200d" not in text:
        return text
    kept = [
        c
        for i, c in enumerate(text)
        if c != "\u200d"
        or (
            0 < i < len(text) - 1 and not (text[i - 1].isascii() or text[i + 1].isascii()) and not text[i - 1].isalnum()
        )
    ]
    return "".join(kept)


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 check digit of a payment card number."""
    total = 0
    for i, c in enumerate(reversed(digits)):
        d = int(c) * (2 if i % 2 else 1)
        total += d - 9 if d > 9 else d
    return total % 10 == 0


def _number(match: re.Match[str]) -> str:
    """Tell prices and dates from phones, cards and accounts by their digits and grouping."""
    run = match.group()
    digits = re.sub(r"\D", "", run)
    if 13 <= len(digits) <= 19 and _luhn(digits):
        return CARD
    if _DATE.fullmatch(run) or _NUMBER.fullmatch(run):
        return run
    if len(digits) >= 9:
        return ACCOUNT if digits == run else PHONE
    if len(digits) >= 7 and (run[0] in "+(" or re.fullmatch(r"\d{3}[-. ]\d{4}", run)):
        return PHONE
    return run


def _long_run(match: re.Match[str]) -> str:
    """A long unbroken run is an address or a key if it mixes digits or cases; a scream or a hashtag is not."""
    run = match.group()
    if match.string[: match.start()].endswith("#") and re.fullmatch(r"[A-Za-z_]+\d{0,4}", run):
        return run  # a hashtag of words, with a year at most
    mixed = any(c.isdigit() for c in run) or (run[1:] != run[1:].lower() and run != run.upper())
    return WALLET if mixed else run


def _ipv6(match: re.Match[str]) -> str:
    run = match.group()
    try:
        ipaddress.IPv6Address(run.partition("%")[0])
    except ValueError:
        return run
    return IP if any(c in "0123456789abcdefABCDEF" for c in run) else run


def _once(text: str) -> str:
    text = _URL.sub(URL, text)
    text = _EMAIL.sub(EMAIL, text)
    text = _SPELLED_EMAIL.sub(EMAIL, text)
    text = _MENTION_ID.sub(USER_ID, text)
    text = _HANDLE.sub(HANDLE, text)
    text = _IBAN.sub(ACCOUNT, text)
    text = _WALLET.sub(WALLET, text)
    text = _LONG_RUN.sub(_long_run, text)
    text = _IPV4.sub(IP, text)
    text = _IPV6.sub(_ipv6, text)
    text = _USER_ID.sub(lambda m: m.group(1) + USER_ID, text)
    return _DIGITS.sub(_number, text)


def redact(text: str) -> str:
    """Replace personal data in `text` by typed marks (`MARKS`).

    Repeats until nothing changes: a replacement may bring two halves of another match together. Each round only
    shortens what can still match, so it ends; the bound is a guard, not a cut-off that ordinary posts reach.
    """
    text = _plain(text)
    for _ in range(8):
        changed = _plain(_once(text))
        if changed == text:
            break
        text = changed
    return text


def author_hash(key: bytes, source: str, author: str) -> str:
    """A keyed hash of an author (32 hex digits), so that one author counts once and cannot be looked up by guessing."""
    if not author:
        return ""
    return blake2b(f"{source}\0{author}".encode("utf-8", "surrogatepass"), key=key[:64], digest_size=16).hexdigest()


def author_key(path: Path) -> bytes:
    """The installation's key for `author_hash`: made once, readable by its owner only, kept beside the data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes()
        if len(key) < 16:
            raise ValueError(f"{path} is too short for a key: remove it, or set CHCTL_SOCIAL_AUTHOR_KEY") from None
        return key
    with os.fdopen(descriptor, "wb") as f:
        f.write(key := os.urandom(32))
    return key
