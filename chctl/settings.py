"""All settings of chctl in one place.

Every field is read from the environment (`CHCTL_<NAME>`) or from a file `chctl_<name>` in the secrets directory
(`CHCTL_SECRETS_DIR`, or systemd's `$CREDENTIALS_DIRECTORY`), so that no secret has to stand on a command line.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

#: The checkout: contracts/, migrations/, views/ and templates/ are found beside this package.
PROJECT_DIR = Path(__file__).resolve().parent.parent


def _secrets_dir() -> str | None:
    """The directory that holds one file a secret, if there is one."""
    for variable in ("CHCTL_SECRETS_DIR", "CREDENTIALS_DIRECTORY"):
        directory = os.environ.get(variable)
        if directory and Path(directory).is_dir():
            return directory
    return None


class Settings(BaseSettings):
    """Settings of every command and feeder; the field name in upper case behind `CHCTL_` is the variable."""

    model_config = SettingsConfigDict(env_prefix="CHCTL_", extra="ignore")

    # --- where things are
    project_dir: Path = PROJECT_DIR
    data_dir: Path = Field(default=Path(".chctl"), description="The embedded node's data folder.")

    # --- ClickHouse, embedded or server, always over its HTTP interface
    clickhouse_url: str = Field(default="http://127.0.0.1:8123", description="HTTP(S) interface of the node.")
    clickhouse_database: str = "chctl"
    clickhouse_user: str = "default"
    clickhouse_password: SecretStr = SecretStr("")
    clickhouse_ca: Path | None = Field(default=None, description="CA file for https.")
    node_password: SecretStr = Field(
        default=SecretStr(""), description="What the embedded node asks for; empty: nothing."
    )

    clickhouse_cluster: str = Field(default="", description="Name in remote_servers, for `chctl cluster`.")

    # --- Kafka
    kafka_brokers: str = Field(default="127.0.0.1:9092", description="Bootstrap servers, comma-separated.")
    kafka_security_protocol: str = "PLAINTEXT"
    kafka_sasl_mechanism: str = "SCRAM-SHA-256"
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    kafka_ca: Path | None = Field(default=None, description="CA file for SSL listeners.")

    # --- every feeder
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, description="Prometheus endpoint; 0 means none.")
    otlp_endpoint: str = Field(default="", description="OTLP over HTTP, e.g. http://127.0.0.1:4318; empty: off.")
    otlp_api_key: SecretStr = Field(
        default=SecretStr(""), description="Value of the authorization header, as HyperDX asks."
    )
    otlp_interval_s: float = Field(default=10.0, description="How often metrics are sent.")
    log_level: str = "INFO"
    log_format: str = Field(default="auto", description="auto: console on a terminal, JSON otherwise.")

    # --- alerts
    webhook_url: str = Field(default="", description="Where alerts go when there is no routing file.")
    webhook_secret: SecretStr = Field(default=SecretStr(""), description="Standard Webhooks secret, whsec_<base64>.")
    webhook_allow_private: str = Field(
        default="", description="Networks beside public ones, e.g. 127.0.0.1/32,::1/128."
    )
    webhook_timeout_s: float = Field(default=10.0, description="One attempt, from DNS to status line.")
    alerts_topic: str = Field(default="alerts", description="The fast path from the outbox to the feeder.")
    alerts_routes: Path | None = Field(default=None, description="Routing file: which alert goes to which channel.")
    dashboard_url: str = Field(default="", description="Grafana's address, for the link in every page.")
    mongo_uri: SecretStr = Field(default=SecretStr(""), description="MongoDB with the accounts; empty: no enrichment.")
    mongo_deadline_s: float = Field(default=0.25, description="A page waits no longer for the account.")
    alerts_review_s: float = Field(default=2.0, description="How often repeats, escalation and silences are looked at.")
    alerts_lookback_s: int = Field(default=86_400, description="Alerts raised before that are history: nobody is told.")
    alerts_sweep_s: float = Field(default=1.0, description="How often the outbox is searched for what Kafka lost.")
    alerts_lease_s: float = Field(
        default=15.0, description="Seconds until a stand-by feeder takes over from a dead one."
    )
    alerts_drain_s: float = Field(default=15.0, description="Seconds for attempts under way when the feeder stops.")

    heartbeat_s: float = Field(default=60.0, ge=0, description="How often the alert path proves itself; 0: never.")
    heartbeat_late_s: float = Field(default=180.0, gt=0, description="Silence after which the alert feeder pages.")
    heartbeat_url: SecretStr = Field(
        default=SecretStr(""), description="Check outside that is told of every heartbeat and pages without."
    )

    # --- beacon gateway
    beacon_host: str = "127.0.0.1"
    beacon_port: int = Field(default=8089, description="The pages' /events and /beacon.js; 0 takes a free port.")
    beacon_origins: str = Field(default="", description="Origins whose pages may send, comma-separated.")
    beacon_hash_key: SecretStr = Field(default=SecretStr(""), description="16 to 64 characters; hashes session, user.")
    beacon_client: Literal["coarse", "drop"] = Field(default="coarse", description="Network and browser of a client.")
    beacon_rate: float = Field(default=50.0, gt=0, description="Events a second a client may send in the long run.")
    beacon_burst: float = Field(default=2000.0, ge=1, description="Events a client may send at once.")
    beacon_trusted_proxies: str = Field(default="", description="Proxies whose X-Forwarded-For is believed.")
    beacon_max_requests: int = Field(default=1000, gt=0, description="Connections and requests open at a time.")
    beacon_ack_seconds: float = Field(default=2.0, gt=0, description="How long a request waits for the broker.")
    beacon_linger_ms: float = Field(default=2.0, ge=0, description="How long the producer gathers messages.")
    beacon_queue_mb: int = Field(default=64, ge=1, description="Unacknowledged messages kept; more are refused.")
    beacon_drain_seconds: float = Field(default=10.0, ge=0, description="How long a stop waits for the broker.")

    # --- social pipeline
    openai_api_key: SecretStr = Field(default=SecretStr(""), description="Without it the local lexicon rates posts.")
    openai_base_url: str = Field(default="", description="Any server that speaks the Responses API; empty: OpenAI.")
    social_model: str = "gpt-4o-mini"
    social_price_input: float = Field(default=0.15, ge=0, description="USD for a million input tokens.")
    social_price_output: float = Field(default=0.60, ge=0, description="USD for a million output tokens.")
    social_price_embedding: float = Field(default=0.02, ge=0, description="USD for a million tokens embedded.")
    social_usd_per_day: float = Field(default=5.0, ge=0, description="Cap of the group on all hosts, per UTC day.")
    social_tokens_per_minute: int = Field(default=150_000, ge=0, description="Of the group; 0: no limit.")
    social_ahead_hours: float = Field(default=6.0, gt=0, description="How far spend may run ahead of an even pace.")
    social_ledger: Path | None = Field(
        default=None, description="A host's answers and spend; default data_dir/social.sqlite3."
    )
    social_author_key: SecretStr = Field(default=SecretStr(""), description="Hashes authors; empty: made in data_dir.")
    social_batch_items: int = Field(default=500, gt=0, description="Posts of a window, whichever comes first:")
    social_batch_seconds: float = Field(default=2.0, gt=0, description="or the seconds it stays open.")
    social_request_items: int = Field(default=50, gt=0, description="Items of one request at most.")
    social_request_tokens: int = Field(default=6000, gt=0, description="Input tokens of one request at most.")
    social_concurrency: int = Field(default=4, gt=0, description="Requests of one process at a time.")
    social_timeout_s: float = Field(default=60.0, gt=0, description="One request to the provider.")
    social_batch_poll_s: float = Field(default=30.0, gt=0, description="Between two looks at a batch of a backfill.")
    social_embed_top: int = Field(default=0, ge=0, description="Texts of a window to embed, by engagement; 0: none.")
    social_embedding_model: str = "text-embedding-3-small"
    social_embedding_dimensions: int = Field(default=512, gt=0, description="As in the vector index of the table.")
    milvus_uri: str = Field(default="", description="Keep vectors there (a server, or a file of Milvus Lite).")
    milvus_token: SecretStr = SecretStr("")

    # --- collectors
    collect_rss_urls: str = Field(default="", description="Feeds of news, comma-separated.")
    collect_interval_s: float = Field(default=0.0, ge=0, description="Between polls; 0: the collector's own.")
    reddit_client_id: str = ""
    reddit_client_secret: SecretStr = SecretStr("")
    reddit_subreddits: str = Field(default="CryptoCurrency,Bitcoin,ethereum", description="Comma-separated.")
    reddit_url: str = "https://oauth.reddit.com"
    reddit_auth_url: str = "https://www.reddit.com"
    telegram_bot_token: SecretStr = SecretStr("")
    telegram_url: str = "https://api.telegram.org"
    x_bearer_token: SecretStr = SecretStr("")
    x_query: str = Field(default="(bitcoin OR ethereum OR crypto) -is:retweet lang:en", description="Search query.")
    x_url: str = "https://api.x.com"
    onchain_rpc_url: SecretStr = Field(default=SecretStr(""), description="JSON-RPC endpoint; it may hold a key.")
    onchain_chain: str = "ethereum"
    onchain_native: str = "ETH"
    onchain_native_large: float = Field(default=1000.0, gt=0, description="From here a native transfer is large.")
    onchain_tokens: str = Field(
        default="USDT:0xdac17f958d2ee523a2206206994597c13d831ec7:6:5000000,"
        "USDC:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48:6:5000000",
        description="SYMBOL:0xADDRESS:DECIMALS:LARGE, comma-separated.",
    )
    onchain_confirmations: int = Field(default=12, ge=0, description="Blocks behind the head of the chain.")

    # --- market feeder
    market_venue: str = Field(default="", description="binance, binance_usdm, binance_coinm, kraken, okx or coinbase.")
    market_symbols: str = Field(default="", description="Comma-separated, as the venue writes them.")
    market_window_ms: int = Field(default=100, gt=0, description="Length of a window of the venue's time.")
    market_levels: int = Field(default=10, gt=0, le=1000, description="Levels a side in a row.")
    market_depth_bps: str = Field(default="5,10,25", description="Bands around the mid whose depth is published.")
    market_flush_ms: float = Field(default=20.0, ge=0, description="How long rows wait to be packed into a message.")
    market_buffer_mb: int = Field(default=64, gt=0, description="Rows the broker has not taken; full: reading stops.")
    market_drain_s: float = Field(default=30.0, ge=0, description="How long a stop waits for the broker.")


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings(_secrets_dir=_secrets_dir())  # type: ignore[call-arg]
