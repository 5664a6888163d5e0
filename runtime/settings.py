"""The one settings file: YAML, with the environment over it (`DYNSEG_REST__PORT=9090`).

`DYNSEG_CONFIG` names the file; without it `dynseg.yaml` in the working directory is read if there is one, and the
defaults below hold for everything that it does not say. Relative paths are relative to the file's folder.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, IPvAnyAddress, IPvAnyNetwork, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as _EnvironmentError

from runtime import document
from runtime.errors import SettingsError
from runtime.validation import in_words, most_telling

_REMEDY = "see `dynseg settings` for all keys and their meaning"

Port = Annotated[int, Field(ge=1, le=65535)]
RuleMode = Literal["observe", "propose", "enforce"]


class Section(BaseModel):
    """A part of the settings file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class OpenFlowSettings(Section):
    """Where VFNs find the controller, and how it keeps them."""

    listen: str = "127.0.0.1"
    """Address the controller listens at, and the one written into local bridges."""
    port: Port = 6653
    """TCP port for OpenFlow."""
    max_backoff_ms: int = Field(1000, ge=1000)
    """Longest pause of a VFN between two tries to reach the controller."""
    reconcile_seconds: float = Field(5.0, gt=0)
    """Time between two looks at a VFN whose entries are believed right: are they still as many as there should be?"""
    audit_seconds: float = Field(300.0, gt=0)
    """Time between two readings of every entry of a VFN, for what neither its reports nor their number have shown."""
    statistics_seconds: float = Field(1.0, gt=0)
    """Time between two readings of the entry counters."""
    copies_per_second: int = Field(1000, ge=1, le=100_000)
    """Copies of packets of each kind (openings, names, first payload), from each VFN; its ports have equal shares."""
    connections_per_second: int = Field(1000, ge=1, le=1_000_000)
    """TCP connections that one VM may open where the switch has to keep them; what is over it is dropped."""
    connections_per_vm: int = Field(20_000, ge=1, le=10_000_000)
    """Connections that the switch keeps for one VM; what is over it passes, but is not known to be answered."""
    limited_packets_per_second: int = Field(100, ge=1, le=1_000_000)
    """Packets of each direction that pass of a VM or address that a rule limits without saying to how many."""


class TapSettings(Section):
    """What the switches copy for the analyzer besides packets that open TCP connections."""

    dns: bool = True
    """DNS: which VM asks for which name, and is told what."""
    bindings: bool = True
    """What DHCP servers give away, and ARP under another's address: compared with the inventory."""
    first_payload: bool = False
    """What clients say first in a TCP connection, for the name of the server in it alone (TLS SNI, HTTP Host)."""
    first_payload_ports: tuple[Port, ...] = Field((80, 443, 8080, 8443), min_length=1, max_length=64)
    """TCP ports where that is copied."""
    resolvers: tuple[IPvAnyAddress, ...] = ()
    """DNS servers whose answers name addresses; of others only questions and answers are counted."""


class OvsdbSettings(Section):
    """The database of the local Open vSwitch."""

    endpoint: str = "unix:/var/run/openvswitch/db.sock"
    """OVSDB server of the bridges on this machine."""
    manage_bridges: bool = True
    """Set controller, fail mode, protocols and NetFlow of the inventory's bridges that exist on this machine."""


class RestSettings(Section):
    """The northbound REST interface."""

    listen: str = "127.0.0.1"
    """Address of the REST server; loopback until told otherwise."""
    port: Port = 8080
    """TCP port of the REST server."""
    tokens: Path | None = None
    """YAML file of bearer tokens (`- {name, role, token}`); None: `tokens.yaml` in `state_dir`, made on first start."""


class NetflowSettings(Section):
    """Flow telemetry from the VFNs."""

    listen: str = "127.0.0.1"
    """Address of the collector, and the one written into local bridges."""
    port: Port = 2055
    """UDP port of the collector."""
    exporters: tuple[str, ...] = ()
    """IPv4 addresses or networks of other machines whose VFNs report to this one; nobody else's datagrams count."""
    active_timeout_seconds: int = Field(1, ge=1)
    """A flow that lasts is reported this often."""


class HarmSettings(Section):
    """What rules and policies may cost ordinary traffic before they are taken back."""

    enabled: bool = True
    """Compare what is dropped with what the baseline knows as ordinary."""
    flows: int = Field(20, ge=1)
    """More ordinary flows than this, dropped by one rule or version of the policy within `seconds`, are harm."""
    seconds: float = Field(60.0, gt=0)
    """See `flows`."""
    watch_seconds: float = Field(86_400.0, gt=0)
    """A rule or version does harm within so long after it began; later it is what people have got used to."""
    person: Literal["rollback", "ask"] = "rollback"
    """What becomes of a person's rule or policy that does harm: it is taken back, or somebody is asked."""
    automatic: Literal["rollback", "ask"] = "rollback"
    """The same of the analyzer's rules."""
    dry_run_hours: float = Field(0.0, ge=0)
    """Automatic rules are first tried on the flows of so many past hours, for `budget_ordinary`; 0: they are not."""


class EngineSettings(Section):
    """The segmentation engine."""

    harm: HarmSettings = HarmSettings()

    isolation_seconds: float = Field(600.0, gt=0)
    """How long an automatic rule holds before it is released on probation, the first time."""
    repeat_seconds: tuple[Annotated[float, Field(gt=0)], ...] = (3600.0, 86_400.0, 604_800.0)
    """How long the second, third ... one against the same VM or address holds; the last of these from then on."""
    forget_seconds: float = Field(2_592_000.0, gt=0)
    """So long after its last automatic rule ended, a VM or address is no repeat offender any more."""
    probation_seconds: float = Field(1800.0, ge=0)
    """After an automatic rule its VM or address is on probation so long: a relapse is answered by the full step."""
    relapse_risk: float = Field(50.0, ge=0, le=100)
    """The least risk of a relapse."""
    evidence_seconds: float = Field(60.0, gt=0)
    """A proposal whose evidence is older than this is refused as stale."""
    proposal_seconds: float = Field(3600.0, gt=0)
    """A proposed rule waits so long for somebody's approval."""
    rejected_seconds: float = Field(3600.0, ge=0)
    """What somebody has rejected is not proposed again sooner."""
    mode: RuleMode = "enforce"
    """What becomes of automatic rules: `observe` (they only count), `propose` (they wait for approval), `enforce`."""
    segment_modes: dict[str, RuleMode] = {}
    """The same for those about VMs of a segment; the most cautious of what applies holds."""
    action_modes: dict[Literal["isolate", "restrict", "steer", "rate_limit", "deny"], RuleMode] = {}
    """The same for an action."""
    protected: tuple[IPvAnyNetwork, ...] = ()
    """Addresses and networks that are never denied or limited, beside the resolvers and all protected VMs."""
    budget_share: float = Field(0.25, ge=0, le=1)
    """Share of a segment's VMs that automatic rules may cut off within `budget_seconds`."""
    budget_limited_share: float = Field(0.5, ge=0, le=1)
    """Share of a segment's VMs whose rate they may limit."""
    budget_vms: int = Field(3, ge=0)
    """So many VMs of a segment may be cut off, and as many limited, even where that is a larger share."""
    budget_ordinary: float = Field(0.5, ge=0, le=1)
    """Share of a segment's ordinary traffic that automatic rules may stop within `budget_seconds`."""
    budget_seconds: float = Field(3600.0, gt=0)
    """A rule counts against the budget as long as it stands, and at least so long."""
    over_budget: Literal["downgrade", "hold", "refuse"] = "downgrade"
    """What becomes of a rule beyond the budget: its rate is limited instead, it waits for approval, it is refused."""


class AnalyzerSettings(Section):
    """The traffic analyzer."""

    tick_seconds: float = Field(0.25, gt=0)
    """Time between two evaluations of the sliding windows."""
    learn_seconds: float = Field(3600.0, gt=0)
    """How long traffic is only learned from before a first baseline is fitted, when none is stored."""
    learn_when: Path | None = None
    """Wait for this file to appear before learning starts (labs that start their traffic late)."""
    relearn_seconds: float = Field(86_400.0, ge=0)
    """A new baseline is fitted this often from what stayed clean; 0: never."""
    learn_delay_seconds: float = Field(3600.0, gt=0)
    """Traffic is learned from so late: of a VM that falls under suspicion meanwhile it is not."""
    known_attacks: Path | None = None
    """Folder of a classifier made by `dynseg train`, which names attacks; None: the one that comes with dynseg."""
    model_key: Path | None = None
    """Ed25519 key that signs models made here; None: `model.key` in `state_dir`, made on first use."""
    trusted_keys: tuple[str, ...] = ()
    """Public keys (base64) of others whose models are loaded, too; `dynseg models key` prints a node's own."""
    calm_seconds: float = Field(300.0, gt=0)
    """A VM that a step short of isolation holds has come to rest when nothing was found in it for so long."""
    memory_flows: int = Field(200_000, ge=1000)
    """Flows kept in memory for queries over REST."""
    seed: int = 7
    """Seed of every random choice in training."""


class ArchiveSettings(Section):
    """The archive of all flows."""

    enabled: bool = True
    """Keep flows on disk, for `dynseg flows`."""
    folder: Path | None = None
    """Where; None: `flows` in `state_dir`."""
    batch_seconds: float = Field(10.0, gt=0)
    """Flows are written this often; those of the last batch are lost when the power fails."""
    part_seconds: float = Field(300.0, ge=1)
    """Of a flow that lasts, what came is archived this often."""
    keep_days: float = Field(30.0, gt=0)
    """Hours older than this are removed."""
    most_gigabytes: float = Field(20.0, gt=0)
    """When the archive is larger, its oldest hours are removed."""


class PayloadSettings(Section):
    """Payload inspection: off unless there are patterns here, and a consent that names some of them."""

    patterns: Path | None = None
    """Folder of YARA files (`NAME.yar`) that consents may name; None: nothing can be consented to."""
    packets_per_second: int = Field(100, ge=1, le=10_000)
    """Packets with payload copied of each VM under a consent; what is over it is not looked at."""
    packets_per_flow: int = Field(16, ge=1, le=1_000_000)
    """The first so many of them are looked at in each direction of a flow."""
    most_days: float = Field(31.0, gt=0)
    """A consent that would last longer is refused."""


class MetricsSettings(Section):
    """The time-series database that dashboards read; without `url` nothing is written and nothing counted for it."""

    url: str | None = Field(None, pattern=r"^https?://[^\s?#]+$")
    """Address of InfluxDB (1.6 to 3) or VictoriaMetrics, as in `http://127.0.0.1:8428`."""
    api: Literal["v2", "v1"] = "v2"
    """`v2`: `/api/v2/write` (InfluxDB 1.8, 2 and 3, VictoriaMetrics); `v1`: `/write` (InfluxDB up to 1.8)."""
    token: SecretStr | None = None
    """What the database knows us by; `user:password` with `v1`. Better in DYNSEG_METRICS__TOKEN than in a file."""
    org: str = ""
    """Organization (InfluxDB 2)."""
    bucket: str = Field("dynseg", min_length=1)
    """Bucket, or database with `v1`."""
    texts: bool = True
    """Write texts, too (annotations); VictoriaMetrics keeps numbers only: say no there."""
    node: str | None = Field(None, pattern=r"^[!-~]{1,64}$")
    """Name of this node in every point; None: the machine's."""
    interval_seconds: float = Field(10.0, ge=1)
    """What happened within so long makes one point."""
    services: tuple[Annotated[str, Field(pattern=r"^(tcp|udp|sctp)/[0-9]{1,5}$")], ...] = (
        *("tcp/22", "tcp/23", "tcp/25", "tcp/53", "tcp/80", "tcp/88", "tcp/110", "tcp/135", "tcp/139", "tcp/143"),
        *("tcp/389", "tcp/443", "tcp/445", "tcp/502", "tcp/587", "tcp/636", "tcp/993", "tcp/1433", "tcp/1521"),
        *("tcp/1883", "tcp/2049", "tcp/3306", "tcp/3389", "tcp/5432", "tcp/5672", "tcp/5900", "tcp/5985", "tcp/6379"),
        *("tcp/6443", "tcp/8080", "tcp/8443", "tcp/9092", "tcp/9200", "tcp/27017"),
        *("udp/53", "udp/67", "udp/123", "udp/161", "udp/443", "udp/514"),
    )
    """Services with a name of their own; all others of a protocol are one, so that a scan makes no series."""
    most_pairs: int = Field(50_000, ge=10)
    """Series of flows between segments, at most; what comes after them is counted as of the segments `(others)`."""
    batch_points: int = Field(5000, ge=1, le=100_000)
    """Points of one request."""
    buffer_megabytes: float = Field(64.0, gt=0)
    """What waits for a database that is away; when it is full the oldest points are dropped, and counted."""
    timeout_seconds: float = Field(10.0, gt=0)
    """For the answer to one request."""

    @property
    def authorization(self) -> str | None:
        """The header of that name that `token` stands for."""
        if self.token is None:
            return None
        secret = self.token.get_secret_value()
        return f"Token {secret}" if self.api == "v2" else "Basic " + base64.b64encode(secret.encode()).decode()


class Settings(BaseSettings):
    """All settings of a dynseg node."""

    model_config = SettingsConfigDict(
        env_prefix="DYNSEG_", env_nested_delimiter="__", extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    inventory: Path = Path("inventory.yaml")
    """The inventory: segments, VFNs, links, VMs."""
    run_dir: Path = Path("/run/dynseg")
    """Sockets and process ids."""
    state_dir: Path = Path("/var/lib/dynseg")
    """Database, models, tokens."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """What is told; `dynseg log level` changes it while everything runs."""
    log_format: Literal["human", "json"] = "human"
    """Lines for people, or one JSON object a line."""
    openflow: OpenFlowSettings = OpenFlowSettings()
    taps: TapSettings = TapSettings()
    ovsdb: OvsdbSettings = OvsdbSettings()
    rest: RestSettings = RestSettings()
    netflow: NetflowSettings = NetflowSettings()
    engine: EngineSettings = EngineSettings()
    analyzer: AnalyzerSettings = AnalyzerSettings()
    archive: ArchiveSettings = ArchiveSettings()
    payload: PayloadSettings = PayloadSettings()
    metrics: MetricsSettings = MetricsSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment stands over the file (which `load` passes as keywords)."""
        return env_settings, init_settings

    @property
    def engine_socket(self) -> Path:
        """Where the engine listens."""
        return self.run_dir / "engine.sock"

    @property
    def analyzer_socket(self) -> Path:
        """Where the analyzer listens."""
        return self.run_dir / "analyzer.sock"

    @property
    def metrics_socket(self) -> Path:
        """Where the writer of metrics listens."""
        return self.run_dir / "metrics.sock"

    @property
    def database(self) -> Path:
        """The SQLite file of rules and audit."""
        return self.state_dir / "dynseg.sqlite"

    @property
    def models(self) -> Path:
        """Folder of the saved baselines."""
        return self.state_dir / "models"

    @property
    def model_key(self) -> Path:
        """The key that signs models made here."""
        return self.analyzer.model_key or self.state_dir / "model.key"

    @property
    def payload_key(self) -> Path:
        """Key of the hashes of what patterns matched; made on first use, and never leaves this node."""
        return self.state_dir / "payload.key"

    @property
    def flow_archive(self) -> Path:
        """Folder of the flow archive."""
        return self.archive.folder or self.state_dir / "flows"

    @property
    def tokens_file(self) -> Path:
        """File of the REST tokens."""
        return self.rest.tokens or self.state_dir / "tokens.yaml"


def load(path: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        path: the file; None: `$DYNSEG_CONFIG`, else `dynseg.yaml` if it exists, else defaults.

    Raises:
        SettingsError: unreadable, not YAML, an unknown key or a value out of range; names file, line and key, or the
            environment variable.
    """
    named = path or (Path(os.environ["DYNSEG_CONFIG"]) if "DYNSEG_CONFIG" in os.environ else None)
    file = named or Path("dynseg.yaml")
    written = _read(file) if named is not None or file.exists() else document.Document(str(file), {}, {})
    try:
        settings = Settings(**written.data)
    except ValidationError as error:
        raise _explain(error, written) from error
    except _EnvironmentError as error:
        raise SettingsError(f"in the environment: {error}", remedy=_REMEDY) from error
    return _absolute(settings, file.resolve().parent)


def _read(file: Path) -> document.Document:
    """The file as written: a mapping, which an empty file is too."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}", file=file, remedy="set DYNSEG_CONFIG") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"not text: {error.reason} at byte {error.start}", file=file) from error
    written = document.read(text, str(file), SettingsError)
    if written.data is None:
        return document.Document(written.file, {}, {})
    if not isinstance(written.data, dict):
        raise SettingsError("holds no mapping at its top", file=file, line=1, remedy="write `key: value` lines")
    return written


def _explain(error: ValidationError, written: document.Document) -> SettingsError:
    """The first thing that is refused, with its place: a line of the file or a variable of the environment."""
    first = most_telling(error)
    where = first["loc"]
    message, remedy = in_words(first)
    variable = "DYNSEG_" + "__".join(map(str, where)).upper()
    key = ".".join(map(str, where))
    if variable in (name.upper() for name in os.environ):
        return SettingsError(message, key=variable, remedy=remedy or _REMEDY)
    return SettingsError(message, file=written.file, line=written.line(where), key=key, remedy=remedy or _REMEDY)


def _absolute(settings: Settings, base: Path) -> Settings:
    """The same settings with every relative path taken from `base`."""
    rest, analyzer, archive, payload = settings.rest, settings.analyzer, settings.archive, settings.payload
    if rest.tokens is not None:
        rest = rest.model_copy(update={"tokens": base / rest.tokens})
    for name in ("learn_when", "known_attacks", "model_key"):
        if (file := getattr(analyzer, name)) is not None:
            analyzer = analyzer.model_copy(update={name: base / file})
    if archive.folder is not None:
        archive = archive.model_copy(update={"folder": base / archive.folder})
    if payload.patterns is not None:
        payload = payload.model_copy(update={"patterns": base / payload.patterns})
    paths = {name: base / getattr(settings, name) for name in ("inventory", "run_dir", "state_dir")}
    sections = {"rest": rest, "analyzer": analyzer, "archive": archive, "payload": payload}
    return settings.model_copy(update={**paths, **sections})
