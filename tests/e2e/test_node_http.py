"""ClickHouse's HTTP interface, as curl, clickhouse-connect, clickhouse-migrations and browsers meet it."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import clickhouse_connect
import httpx
import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from chctl.node import frames
from chctl.node.native import REVISION, Converter
from chctl.node.run import NodeProcess
from chctl.settings import Settings
from tests.waiting import wait_for


@pytest.fixture
def http(settings: Settings, database: str) -> Iterator[httpx.Client]:
    """A plain HTTP client on the test's own database."""
    with httpx.Client(base_url=settings.clickhouse_url, params={"database": database}, timeout=30) as opened:
        yield opened


def run(http: httpx.Client, query: str, body: bytes = b"", **parameters: str) -> str:
    """POST a query in the URL; its text, which must be no error."""
    response = http.post("/", params={"query": query, **parameters}, content=body)
    assert response.status_code == 200, response.text
    return response.text


# --- statements and where they stand


@pytest.mark.parametrize("path", ["/ping", "/replicas_status", "/"])
def test_health_pages_answer_ok(http: httpx.Client, path: str) -> None:
    response = http.get(path)
    assert (response.status_code, response.text) == (200, "Ok.\n")


def test_a_query_stands_in_the_url_the_body_or_both(http: httpx.Client) -> None:
    assert http.get("/", params={"query": "SELECT 1"}).text == "1\n"
    assert http.post("/", content="SELECT 2").text == "2\n"
    assert http.post("/", params={"query": "SELECT 3 AS a"}, content="FORMAT JSONEachRow").text == '{"a":3}\n'


def test_the_format_is_the_statements_then_the_headers_then_the_parameters(http: httpx.Client) -> None:
    query = {"query": "SELECT 1 AS a", "default_format": "JSONEachRow"}
    assert http.get("/", params=query).text == '{"a":1}\n'
    assert http.get("/", params=query, headers={"X-ClickHouse-Format": "CSV"}).text == "1\n"
    response = http.get("/", params={**query, "query": "SELECT 1 AS a FORMAT JSON"})
    assert response.json()["data"] == [{"a": 1}]
    assert response.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert response.headers["X-ClickHouse-Format"] == "JSON"


@pytest.mark.parametrize(
    "query", ["SHOW TABLES", "DESCRIBE TABLE system.one", "EXPLAIN AST SELECT 1", "EXISTS system.one", "VALUES (1)"]
)
def test_every_kind_of_statement_comes_in_the_asked_format(http: httpx.Client, query: str) -> None:
    response = http.post("/", params={"query": query, "default_format": "JSONCompact"})
    if query.startswith("VALUES"):  # no statement of the server's either
        assert response.status_code == 400
    else:
        assert isinstance(response.json()["data"], list)


def test_answers_carry_clickhouses_headers(http: httpx.Client) -> None:
    headers = http.get("/", params={"query": "SELECT sum(number) FROM numbers(1000)", "query_id": "mine"}).headers
    assert headers["X-ClickHouse-Query-Id"] == "mine"
    assert headers["X-ClickHouse-Timezone"] in ("UTC", "Etc/UTC")
    assert headers["X-ClickHouse-Server-Display-Name"] == socket.gethostname()
    assert json.loads(headers["X-ClickHouse-Summary"])["read_rows"] == "1000"


def test_settings_and_parameters_hold_for_one_request(http: httpx.Client) -> None:
    query = "SELECT {a:String}, {b:Array(UInt8)}, {c:Nullable(String)}, getSetting('max_threads')"
    values = {"param_a": "it's\\ta 'tab'", "param_b": "[1,2]", "param_c": "\\N", "max_threads": "3"}
    assert run(http, query, **values) == "it\\'s\\ta \\'tab\\'\t[1,2]\t\\N\t3\n"
    assert run(http, "SELECT getSetting('max_threads')") != "3\n"


def test_a_session_keeps_its_temporary_table_and_others_do_not_see_it(http: httpx.Client) -> None:
    run(http, "CREATE TEMPORARY TABLE mine (a UInt8)", session_id="s1")
    run(http, "INSERT INTO mine VALUES (7)", session_id="s1")
    assert run(http, "SELECT a FROM mine", session_id="s1") == "7\n"
    assert http.post("/", content="SELECT a FROM mine").headers["X-ClickHouse-Exception-Code"] == "60"
    assert http.post("/", params={"session_id": "none", "session_check": "1"}, content="SELECT 1").text.startswith(
        "Code: 372."
    )


def test_a_session_keeps_what_is_set_in_it_and_not_what_a_request_asks_for(http: httpx.Client) -> None:
    threads, database = "SELECT getSetting('max_threads')", http.params["database"]
    before = run(http, threads, session_id="s2")
    assert run(http, threads, session_id="s2", max_threads="3") == "3\n"
    assert run(http, threads, session_id="s2") == before
    run(http, "SET max_threads = 5", session_id="s2")
    assert run(http, threads, session_id="s2", max_threads="3") == "3\n"
    assert run(http, threads, session_id="s2") == "5\n"
    assert run(http, "SELECT currentDatabase()", session_id="s2") == f"{database}\n"
    with httpx.Client(base_url=http.base_url) as bare:
        assert bare.post("/", params={"session_id": "s2"}, content="SELECT currentDatabase()").text == "default\n"


def test_parameters_too_long_for_a_url_and_external_tables_come_in_a_form(client: Client, http: httpx.Client) -> None:
    long = "x" * 200_000
    assert client.query("SELECT length({a:String})", parameters={"a": long}).first_row == (200_000,)
    fields = {"query": "SELECT sum(n), {p:String} FROM given", "param_p": "it's"}
    files = {"given": ("given", b"1\n2\n")}
    described = {"given_structure": "n UInt64", "given_format": "CSV"}
    response = http.post("/", params=described, data=fields, files=files)
    assert response.text == "3\tit\\'s\n"
    assert http.post("/", content="SELECT * FROM given").headers["X-ClickHouse-Exception-Code"] == "60"
    two = http.post("/", data={"query": "SELECT 1; SELECT 2"}, files=files, params=described)
    assert (two.status_code, two.headers["X-ClickHouse-Exception-Code"]) == (400, "62")


# --- errors


@pytest.mark.parametrize(
    ("query", "status", "code", "name"),
    [
        ("SELECT nope", 404, 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT * FROM nope", 404, 60, "UNKNOWN_TABLE"),
        ("SELECT nope()", 404, 46, "UNKNOWN_FUNCTION"),
        ("SELEC 1", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1 FORMAT Nope", 404, 73, "UNKNOWN_FORMAT"),
        ("SELECT throwIf(1)", 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT 1; SELECT 2", 400, 62, "SYNTAX_ERROR"),
        ("INSERT INTO t FORMAT JSONEachRow {", 400, None, "CANNOT_"),
        ("", 400, 62, "SYNTAX_ERROR"),
    ],
)
def test_errors_have_clickhouses_status_code_and_text(
    http: httpx.Client, query: str, status: int, code: int | None, name: str
) -> None:
    run(http, "CREATE TABLE t (a UInt8) ENGINE = Memory")
    response = http.post("/", content=query)
    number = response.headers["X-ClickHouse-Exception-Code"]
    assert response.text.startswith(f"Code: {number}. DB::Exception: ")
    assert f"({name}" in response.text
    assert response.text.endswith("(official build))\n")
    assert code is None or (response.status_code, number) == (status, str(code))
    assert "OUTFILE" not in response.text
    assert "INFILE" not in response.text


def test_unknown_settings_and_databases_are_errors(http: httpx.Client) -> None:
    assert http.post("/", params={"nope": "1"}, content="SELECT 1").headers["X-ClickHouse-Exception-Code"] == "115"
    assert (
        http.post("/", params={"database": "nope"}, content="SELECT 1").headers["X-ClickHouse-Exception-Code"] == "81"
    )


def test_get_only_reads(http: httpx.Client) -> None:
    run(http, "CREATE TABLE t (a UInt8) ENGINE = Memory")
    response = http.get("/", params={"query": "INSERT INTO t SELECT 1"})
    assert (response.status_code, response.headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    assert http.get("/", params={"query": "DROP TABLE t"}).status_code == 500
    assert run(http, "SELECT count() FROM t") == "0\n"


@pytest.mark.parametrize("format_name", ["TSV", "JSON", "Native"])
def test_an_error_behind_sent_data_breaks_the_body_off_and_is_told(http: httpx.Client, format_name: str) -> None:
    query = f"SELECT throwIf(number = 3000000) FROM numbers(10000000) FORMAT {format_name}"
    got = bytearray()
    with http.stream("POST", "/", content=query, params={"max_block_size": "65000"}) as response:
        assert response.status_code == 200
        tag = response.headers["X-ClickHouse-Exception-Tag"]
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            collect(response, got)
    assert f"__exception__\r\n{tag}\r\nCode: 395. DB::Exception: ".encode() in got[-2000:]


def collect(response: httpx.Response, into: bytearray) -> None:
    """Read a body; what has come stays when the rest fails."""
    for piece in response.iter_raw():
        into += piece


def test_an_error_is_told_in_the_status_if_the_client_waits_for_the_end(http: httpx.Client) -> None:
    query = "SELECT throwIf(number = {n:UInt64}) FROM numbers(4000000)"
    waiting = {"wait_end_of_query": "1", "max_block_size": "65000"}
    assert http.post("/", params={**waiting, "param_n": "3000000"}, content=query).status_code == 500
    good = http.post("/", params={**waiting, "param_n": "5000000"}, content=query)
    assert (good.status_code, good.content) == (200, b"0\n" * 4_000_000)
    assert json.loads(good.headers["X-ClickHouse-Summary"])["read_rows"] == "4000000"


def test_clickhouse_connect_raises_the_late_error(client: Client) -> None:
    with (
        pytest.raises(Error, match="395"),
        client.query_row_block_stream("SELECT throwIf(number = 3000000) FROM numbers(10000000)") as blocks,
    ):
        for _ in blocks:
            pass


# --- inserts

TYPES = """
    a UInt64, b Int64, c Float64, d Decimal(18, 8), e String, f LowCardinality(String), g Nullable(Float64),
    h Array(Tuple(Float64, Float64)), i Map(String, UInt64), j Enum8('BUY' = 1, 'SELL' = 2), k UUID, l Bool,
    m DateTime64(3, 'UTC'), n Array(Nullable(Int64)), o Date, p Array(Float32), q LowCardinality(Nullable(String))
"""
# floats are binary fractions: ClickHouse reads others from text only to the last bit but one
ROWS = r"""
    SELECT
        number AS a, -number AS b, number / 8 AS c, toDecimal64(number, 8) / 3 AS d,
        concat('é\t', toString(number)) AS e,
        toLowCardinality(toString(number % 5)) AS f, if(number % 3 = 0, NULL, number / 2) AS g,
        [(number / 4, number / 16), (1.5, 2.5)] AS h, map('k', number) AS i,
        CAST(number % 2 + 1, 'Enum8(\'BUY\' = 1, \'SELL\' = 2)') AS j, reinterpretAsUUID(toUInt128(number)) AS k,
        number % 2 = 0 AS l, toDateTime64('2024-08-08 23:54:00.123', 3, 'UTC') + number AS m, [number, NULL] AS n,
        toDate('2024-08-08') AS o, [toFloat32(number / 4)] AS p,
        CAST(if(number % 2 = 0, NULL, 'x'), 'LowCardinality(Nullable(String))') AS q
    FROM numbers(1000)
"""
HASH = "SELECT count(), sum(cityHash64(*)), sum(ifNull(g, 0)) FROM"


@pytest.mark.parametrize(
    "format_name",
    ["Native", "RowBinary", "TSV", "CSV", "JSONEachRow", "JSONCompactEachRow", "Values", "Parquet", "JSON"],
)
@pytest.mark.parametrize("statement_in", ["url", "body"])
def test_what_a_select_gives_an_insert_takes(http: httpx.Client, format_name: str, statement_in: str) -> None:
    run(http, f"CREATE TABLE source ({TYPES}) ENGINE = Memory")
    run(http, f"INSERT INTO source {ROWS}")
    run(http, f"CREATE TABLE target ({TYPES}) ENGINE = Memory")
    data = http.post("/", content=f"SELECT * FROM source FORMAT {format_name}").content
    insert = f"INSERT INTO target FORMAT {format_name}"
    if statement_in == "url":
        response = http.post("/", params={"query": insert}, content=data)
    else:
        response = http.post("/", content=insert.encode() + b"\n" + data)
    assert response.status_code == 200, response.text
    assert json.loads(response.headers["X-ClickHouse-Summary"])["written_rows"] == "1000"
    assert run(http, f"{HASH} target") == run(http, f"{HASH} source")


def test_aggregate_states_pass_through_and_merge(http: httpx.Client) -> None:
    columns = "a UInt8, s AggregateFunction(uniq, UInt64), m AggregateFunction(argMax, Float64, UInt64)"
    states = "SELECT 1 AS a, uniqState(number) AS s, argMaxState(number / 2, number) AS m FROM numbers(1000)"
    run(http, f"CREATE TABLE source ({columns}) ENGINE = AggregatingMergeTree ORDER BY a")
    run(http, f"INSERT INTO source {states}")
    run(http, "CREATE TABLE target AS source")
    data = http.post("/", content="SELECT * FROM source FORMAT Native").content
    run(http, "INSERT INTO target FORMAT Native", data)
    assert run(http, "SELECT uniqMerge(s), argMaxMerge(m) FROM target") == "1000\t499.5\n"


def test_a_large_insert_in_one_body(http: httpx.Client) -> None:
    run(http, "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
    data = b"".join(b'{"a":%d,"s":"%s"}\n' % (i, b"x" * 100) for i in range(100_000))
    run(http, "INSERT INTO t FORMAT JSONEachRow", data)
    assert run(http, "SELECT count(), sum(a), sum(length(s)) FROM t") == f"100000\t{100_000 * 99_999 // 2}\t10000000\n"


def test_a_client_that_leaves_in_the_middle_of_a_body_inserts_nothing(http: httpx.Client, node: NodeProcess) -> None:
    run(http, "CREATE TABLE t (a UInt64) ENGINE = Memory")
    database = http.params["database"]
    address = urlsplit(node.url)
    for _ in range(3):
        with socket.create_connection((address.hostname or "", address.port or 0)) as raw:
            head = f"POST /?database={database}&query=INSERT+INTO+t+FORMAT+TSV HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            raw.sendall(f"{head}Content-Length: 1000\r\n\r\n1\n2\n3\n".encode())
    run(http, "INSERT INTO t VALUES (9)")
    assert run(http, "SELECT groupArray(a) FROM t") == "[9]\n"


# --- compression

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.compress,
}
DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": lz4.frame.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@pytest.mark.parametrize("encoding", COMPRESS)
def test_bodies_are_compressed_both_ways(http: httpx.Client, encoding: str) -> None:
    run(http, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    data = "".join(f"{i}\n" for i in range(200_000)).encode()
    packed = COMPRESS[encoding](data)
    sent = http.post(
        "/", params={"query": "INSERT INTO t FORMAT TSV"}, content=packed, headers={"Content-Encoding": encoding}
    )
    assert sent.status_code == 200, sent.text

    def read(query: str) -> tuple[httpx.Response, bytes]:
        headers = {"Accept-Encoding": encoding}
        with http.stream(
            "POST", "/", content=query, params={"enable_http_compression": "1"}, headers=headers
        ) as response:
            return response, b"".join(response.iter_raw())

    response, got = read("SELECT a FROM t ORDER BY a")
    assert response.headers["Content-Encoding"] == encoding
    assert len(got) < len(data)
    assert DECOMPRESS[encoding](got) == data
    response, got = read("SHOW TABLES")
    assert DECOMPRESS[encoding](got) == b"t\n"
    response, got = read("SELECT nope")
    assert response.status_code == 404
    assert DECOMPRESS[encoding](got).startswith(b"Code: 47.")


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_cut_off_compressed_body_inserts_nothing(http: httpx.Client, encoding: str) -> None:
    run(http, "CREATE TABLE t (a UInt64) ENGINE = Memory")
    packed = COMPRESS[encoding](b"".join(b"%d\n" % i for i in range(10_000)))[:-20]
    insert = {"query": "INSERT INTO t FORMAT TSV"}
    response = http.post("/", params=insert, content=packed, headers={"Content-Encoding": encoding})
    assert response.headers["X-ClickHouse-Exception-Code"] == "354"
    assert run(http, "SELECT count() FROM t") == "0\n"


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_clickhouse_connect_with_every_compression(settings: Settings, client: Client, compress: str | bool) -> None:
    client.command("CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
    address = urlsplit(settings.clickhouse_url)
    with clickhouse_connect.get_client(
        host=address.hostname, port=address.port or 0, database=settings.clickhouse_database, compress=compress
    ) as packed:
        rows = [[i, "x" * 20] for i in range(50_000)]
        packed.insert("t", rows, column_names=["a", "s"])
        assert packed.query("SELECT a, s FROM t ORDER BY a").result_rows == [tuple(row) for row in rows]


def test_clickhouses_own_frames_both_ways(http: httpx.Client) -> None:
    def unpack(data: bytes) -> bytes:
        decoder = frames.Decoder()
        out = decoder.feed(data)
        assert decoder.finished
        return out

    run(http, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    data = "".join(f"{i}\n" for i in range(400_000)).encode()
    run(http, "INSERT INTO t FORMAT TSV", frames.encode(data), decompress="1")
    got = http.post("/", params={"compress": "1"}, content="SELECT a FROM t ORDER BY a").content
    assert unpack(got) == data
    assert unpack(http.post("/", params={"compress": "1"}, content="SELECT nope").content).startswith(b"Code: 47.")
    damaged = bytearray(frames.encode(b"1\n"))
    damaged[3] ^= 1
    insert = {"query": "INSERT INTO t FORMAT TSV", "decompress": "1"}
    assert "Checksum" in http.post("/", params=insert, content=bytes(damaged)).text
    assert run(http, "SELECT count() FROM t") == "400000\n"


def test_native_in_the_revision_of_the_tcp_protocol(http: httpx.Client) -> None:
    query = f"SELECT * REPLACE (toString(j) AS j) FROM ({ROWS.strip()})"
    asked = {"default_format": "Native", "client_protocol_version": str(REVISION)}
    new = http.post("/", params=asked, content=query).content
    old = http.post("/", params={"default_format": "Native"}, content=query).content
    converter = Converter()
    assert new == converter.feed(old) + converter.finish()
    response = http.post("/", params=asked, content="SELECT uniqState(1)")
    assert (response.status_code, response.headers["X-ClickHouse-Exception-Code"]) == (501, "48")


# --- size, concurrency, cancelling


def _memory(pid: int, field: str) -> int:
    """A field of the process's memory status, bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc to see peak memory")
@pytest.mark.parametrize("format_name", ["JSON", "Native"])
def test_a_result_of_half_a_gigabyte_is_streamed(http: httpx.Client, node: NodeProcess, format_name: str) -> None:
    Path(f"/proc/{node.pid}/clear_refs").write_text("5")  # peak memory starts anew
    before = _memory(node.pid, "VmRSS")
    query = f"SELECT repeat('x', 100) AS s FROM numbers(5000000) FORMAT {format_name}"
    size = 0
    with http.stream("POST", "/", content=query) as response:
        for piece in response.iter_raw():
            size += len(piece)
    assert size > 500_000_000
    assert _memory(node.pid, "VmHWM") - before < 250_000_000


def wait_until_running(http: httpx.Client, mark: str, count: int) -> None:
    """Wait until so many statements that hold `mark` run."""
    running = f"SELECT count() FROM system.processes WHERE query LIKE '%{mark}%' AND query NOT LIKE '%processes%'"
    wait_for(lambda: run(http, running) == f"{count}\n", what=f"{count} running statements")


def test_a_slow_query_does_not_hold_up_a_fast_one(http: httpx.Client) -> None:
    mark = f"slow_{time.monotonic_ns()}"
    query = f"SELECT sleepEachRow(0.5) FROM numbers(200) /* {mark} */ SETTINGS max_block_size = 1"
    answers: list[httpx.Response] = []
    slow = threading.Thread(target=lambda: answers.append(httpx.post(http.base_url, content=query, timeout=100)))
    slow.start()
    wait_until_running(http, mark, 1)
    for _ in range(20):
        assert run(http, "SELECT 1") == "1\n"
    assert answers == []
    run(http, f"KILL QUERY WHERE query LIKE '%{mark}%' AND query NOT LIKE 'KILL%' SYNC")
    slow.join()
    assert answers[0].headers["X-ClickHouse-Exception-Code"] == "394"


def test_many_clients_at_once_get_each_its_own_answer(node: NodeProcess) -> None:
    wrong = []

    def ask(number: int) -> None:
        with httpx.Client(base_url=node.url, timeout=60) as own:
            for i in range(20):
                expected = f"{number * 1000 + i}\n"
                if own.post("/", content=f"SELECT {number * 1000 + i}").text != expected:
                    wrong.append(expected)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    "query", ["SELECT count() FROM numbers(1000000000000)", "SELECT number FROM numbers(100000000000)"]
)
def test_a_client_that_goes_away_ends_its_query(http: httpx.Client, node: NodeProcess, query: str) -> None:
    mark = f"gone_{time.monotonic_ns()}"
    address = urlsplit(node.url)
    body = f"{query} /* {mark} */ SETTINGS max_threads = 1"
    with socket.create_connection((address.hostname or "", address.port or 0)) as raw:
        raw.sendall(f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        wait_until_running(http, mark, 1)
    wait_until_running(http, mark, 0)


# --- who may ask


@pytest.fixture
def guarded(fresh_node: Callable[..., NodeProcess]) -> NodeProcess:
    """A node that asks for a password."""
    return fresh_node(environment={"CHCTL_NODE_PASSWORD": "secret"})


def test_a_password_is_asked_for_in_every_way_clickhouse_takes_it(guarded: NodeProcess) -> None:
    query = {"query": "SELECT 1"}
    assert httpx.get(f"{guarded.url}/ping").status_code == 200
    asked = httpx.get(guarded.url, params=query)
    assert (asked.status_code, asked.headers["WWW-Authenticate"].split()[0]) == (401, "Basic")
    right: list[dict[str, object]] = [
        {"auth": ("default", "secret")},
        {"headers": {"X-ClickHouse-User": "default", "X-ClickHouse-Key": "secret"}},
        {"params": {**query, "user": "default", "password": "secret"}},
    ]
    for way in right:
        assert httpx.get(guarded.url, **{"params": query, **way}).text == "1\n"  # type: ignore[arg-type]
    for user, password in (("default", "wrong"), ("other", "secret")):
        refused = httpx.get(guarded.url, params=query, auth=(user, password))
        assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
    assert "secret" not in guarded.log()


def test_a_page_whose_name_is_turned_to_loopback_is_turned_away(http: httpx.Client) -> None:
    assert http.get("/", params={"query": "SELECT 1"}, headers={"Host": "evil.example"}).status_code == 400


def test_a_page_of_another_site_cannot_write(http: httpx.Client) -> None:
    foreign = http.post(
        "/", content="CREATE TABLE t (a Int8) ENGINE = Memory", headers={"Origin": "https://evil.example"}
    )
    assert (foreign.status_code, foreign.headers["X-ClickHouse-Exception-Code"]) == (403, "497")
    assert run(http, "EXISTS t") == "0\n"
    own = http.post("/", content="SELECT 1", headers={"Origin": str(http.base_url).rstrip("/")})
    assert own.text == "1\n"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_https(fresh_node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
    ]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    node = fresh_node("--tls-cert", str(certificate), "--tls-key", str(key))
    address = urlsplit(node.url)
    assert address.scheme == "https"
    with clickhouse_connect.get_client(
        interface="https", host=address.hostname, port=address.port or 0, ca_cert=str(certificate)
    ) as secure:
        assert secure.command("SELECT 1") == 1


# --- tools


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(http: httpx.Client, node: NodeProcess) -> None:
    url = f"{node.url}/?database={http.params['database']}"

    def curl(*arguments: str, data: bytes = b"") -> str:
        return subprocess.run(["curl", "-sS", *arguments], input=data, check=True, capture_output=True).stdout.decode()

    curl(url, "-d", "CREATE TABLE t (a UInt8) ENGINE = Memory")
    curl(f"{url}&query=INSERT+INTO+t+FORMAT+CSV", "--data-binary", "@-", data=b"1\n2\n")
    assert curl(f"{url}&query=SELECT+sum(a)+FROM+t") == "3\n"
    assert curl("--compressed", f"{url}&enable_http_compression=1&query=SELECT+sum(a)+FROM+t") == "3\n"


def test_clickhouse_migrations_runs_against_it(node: NodeProcess, tmp_path: Path) -> None:
    from clickhouse_migrations.clickhouse_cluster import ClickhouseCluster

    (tmp_path / "001_create_t.sql").write_text("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a;")
    (tmp_path / "002_fill_t.sql").write_text("INSERT INTO t VALUES (1); INSERT INTO t SELECT 2;")
    address = urlsplit(node.url)
    name = f"migrated_{time.monotonic_ns()}"

    def cluster() -> ClickhouseCluster:
        return ClickhouseCluster(
            db_host=address.hostname,
            db_user="default",
            db_password="",
            db_port=str(address.port),
            driver="clickhouse-connect",
        )

    applied = cluster().migrate(name, tmp_path, create_db_if_no_exists=True, multi_statement=True)
    assert [migration.version for migration in applied] == [1, 2]
    assert cluster().migrate(name, tmp_path, create_db_if_no_exists=True, multi_statement=True) == []
    assert httpx.post(node.url, content=f"SELECT sum(a) FROM {name}.t").text == "3\n"
    httpx.post(node.url, content=f"DROP DATABASE {name}")
