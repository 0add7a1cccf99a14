"""The one table of settings: flag, else environment `RUNNOTARY_*`, else `runnotary.toml`, else the default.

Every setting is a row of `SETTINGS`; the reference page and the checks come from the table.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from runnotary.core.errors import InvalidInput

FILE: Final = "runnotary.toml"
DATABASE: Final = "runnotary.db"
SHARED: Final = ("postgresql://", "postgres://")
SQLITE: Final = "sqlite:///"
OF_HOME: Final = "{home}"
"""In the address of a database: a name made of the home's path, so that one setting serves many homes."""
FOLDER: Final = ".runnotary"


class Setting(msgspec.Struct, frozen=True):
    """One row: name, default, allowed values if few, what it is for."""

    name: str
    default: Any
    meaning: str
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable of the setting."""
        return f"RUNNOTARY_{self.name.upper()}"


SETTINGS: Final = (
    Setting("home", "", "data directory; else the nearest `.runnotary` upwards, else `./.runnotary`"),
    Setting(
        "database_url",
        "",
        "database that servers share: `postgresql://…`; else the home's own: `sqlite:///…`",
    ),
    Setting("lease", 10, "seconds after which a server of a shared database that says nothing is given up"),
    Setting("durability", "full", "`full`: an acknowledged fact survives a power cut", ("full", "normal")),
    Setting("profile", "standard", "`regulated`: reasons, credentials, four eyes", ("standard", "regulated")),
    Setting(
        "self_approval",
        "allowed",
        "`refused`: who started or owns a run, or registered its flow, answers none of its requests",
        ("allowed", "refused"),
    ),
    Setting("slots", 0, "attempts running at once; 0 means the larger of 8 and 4 for every core"),
    Setting("log_limit", 16 * 1024 * 1024, "bytes of each captured stream kept as a blob"),
    Setting("secret_command", "", "command that prints the secret named by its last argument"),
    Setting("checkpoint_copies", "", "files that get the newest checkpoint too, with `:` between them"),
    Setting("witness", "", "command that reads a checkpoint and prints its signature lines of it"),
    Setting("witness_keys", "", "public keys of witnesses that `verify` knows: files or texts, by spaces"),
    Setting("key", "", "public key that has to vouch for the record, for `verify`: a file or its text"),
    Setting("url", "", "server that commands ask instead of a home here: `http://HOST:PORT`"),
    Setting("token", "", "what the server knows you by; it is sent to `url` and shown nowhere"),
    Setting("oidc_issuer", "", "identity provider whose JWTs the server takes: `iss` of its tokens"),
    Setting("oidc_audience", "", "`aud` that a JWT must name: this server, as the provider knows it"),
    Setting("oidc_keys", "", "the provider's public keys (JWK set): a file, or `https://…`"),
    Setting("oidc_principal", "sub", "claim whose text NAME makes the caller `user:NAME`"),
    Setting("oidc_groups", "groups", "claim with the caller's groups; those that the home knows count"),
    Setting("oidc_algorithms", "RS256 PS256 ES256 ES384 EdDSA", "algorithms that a JWT may be signed with"),
    Setting("oidc_leeway", 30, "seconds by which the provider's clock may differ"),
    Setting("host", "127.0.0.1", "address that `up` listens on; one that others can reach needs credentials"),
    Setting("port", 8765, "port that `up` listens on; 0 takes a free one"),
    Setting("cors_origins", "", "pages of other sites that may ask the server: `https://…`, by spaces"),
    Setting("body_limit", 16 * 1024 * 1024, "bytes that a request's document may have"),
    Setting("blob_limit", 4 * 1024 * 1024 * 1024, "bytes that a file sent to the server may have"),
    Setting("log_format", "text", "what the server writes on standard error", ("text", "json")),
    Setting("log_level", "info", "from which level on it writes", ("debug", "info", "warning", "error")),
    Setting("traces", "off", "`otlp`: runs are sent as traces (needs `runnotary[otel]`)", ("off", "otlp")),
)


class Settings(msgspec.Struct, frozen=True):
    """The settings of one process, resolved."""

    home: Path
    durability: Literal["full", "normal"]
    slots: int
    log_limit: int
    secret_command: str
    checkpoint_copies: str = ""
    witness: str = ""
    witness_keys: str = ""
    key: str = ""
    url: str = ""
    token: str = ""
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_keys: str = ""
    oidc_principal: str = "sub"
    oidc_groups: str = "groups"
    oidc_algorithms: str = "RS256 PS256 ES256 ES384 EdDSA"
    oidc_leeway: int = 30
    host: str = "127.0.0.1"
    port: int = 8765
    cors_origins: str = ""
    body_limit: int = 16 * 1024 * 1024
    blob_limit: int = 4 * 1024 * 1024 * 1024
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    traces: Literal["off", "otlp"] = "off"
    profile: Literal["standard", "regulated"] = "standard"
    self_approval: Literal["allowed", "refused"] = "allowed"
    database_url: str = ""
    lease: int = 10
    home_named: bool = False
    """The home was set, and is not only the nearest one."""

    @property
    def shared(self) -> bool:
        """Tell whether the record is in a database that several servers may share."""
        return self.database_url.startswith(SHARED)

    @property
    def copies(self) -> tuple[Path, ...]:
        """The files beside the home's own that get its newest checkpoint."""
        return tuple(Path(text).absolute() for text in self.checkpoint_copies.split(os.pathsep) if text)

    def __repr__(self) -> str:
        return f"Settings(home={self.home}, url={self.url!r})"  # a trace must not hold the token


def load(
    flags: Mapping[str, Any], *, environ: Mapping[str, str] = os.environ, cwd: Path | None = None
) -> Settings:
    """Resolve every setting.

    Raises:
        InvalidInput: a value that its setting does not take, with the place it came from.
    """
    here = cwd or Path.cwd()
    known = {setting.name for setting in SETTINGS}
    from_file = _file(here / FILE)
    unknown = sorted(set(from_file) - known)
    if unknown:
        raise InvalidInput(f"{FILE}: no setting {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        places = (
            ("--" + setting.name, flags.get(setting.name)),
            (setting.variable, environ.get(setting.variable)),
            (FILE, from_file.get(setting.name)),
        )
        place, value = next(
            ((place, value) for place, value in places if value not in (None, "")), ("", setting.default)
        )
        values[setting.name] = _checked(setting, place, value)
    values["database_url"], own = _database(values["database_url"])
    named = bool(values["home"])
    values["home"] = Path(own or values["home"]).absolute() if own or values["home"] else _nearest(here)
    values["database_url"] = values["database_url"].replace(OF_HOME, schema_of(values["home"]))
    values["url"] = _address(values["url"], overruled=bool(flags.get("home")) and not flags.get("url"))
    if flags.get("home") and _is_copy(values["home"]):
        values["checkpoint_copies"] = values["database_url"] = ""
    values["slots"] = values["slots"] or max(8, 4 * (os.cpu_count() or 1))
    return Settings(**values, home_named=named)


def with_database(settings: Settings, url: str) -> Settings:
    """Return the settings with another database, and the home that its address names if it is a home's own.

    Raises:
        InvalidInput: that is no address of a database.
    """
    shared, own = _database(url)
    return at_home(
        msgspec.structs.replace(settings, database_url=shared), Path(own) if own else settings.home
    )


def at_home(settings: Settings, home: Path) -> Settings:
    """Return the settings with another home."""
    home = home.absolute()
    address = settings.database_url.replace(OF_HOME, schema_of(home))
    return msgspec.structs.replace(settings, home=home, database_url=address)


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise InvalidInput(f"{path}: {wrong}") from None


def _checked(setting: Setting, place: str, value: Any) -> Any:
    if isinstance(setting.default, int):
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = -1
        if number < 0:
            raise InvalidInput(f"{place}: {setting.name} is a whole number from 0, not {value!r}")
        return number
    text = str(value)
    if setting.choices and text not in setting.choices:
        raise InvalidInput(f"{place}: {setting.name} is one of {', '.join(setting.choices)}, not {text!r}")
    return text


def schema_of(home: Path) -> str:
    """Return what stands for a home in the address of a database."""
    return f"home_{hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]}"


def _database(url: str) -> tuple[str, str]:
    """Return the address of a shared database, or the home that the address of its own one names."""
    if not url or url.startswith(SHARED):
        return url, ""
    home, name = os.path.split(url.removeprefix(SQLITE))
    if url.startswith(SQLITE) and name == DATABASE:
        return "", home or "."
    said = f"database_url is postgresql://… or {SQLITE}HOME/{DATABASE}, not {url.split('@')[-1]!r}"
    raise InvalidInput(said)


def _address(url: str, *, overruled: bool) -> str:
    """Return the address of the server; none if a home was named on the command line itself."""
    if overruled:
        return ""
    if url and not url.startswith(("http://", "https://")):
        raise InvalidInput(f"url is http://HOST:PORT or https://…, not {url!r}")
    return url.rstrip("/")


def _is_copy(home: Path) -> bool:
    """Tell whether a home is the backup of a record, whose checkpoints and database are none of its own."""
    return (home / DATABASE).exists() and not (home / "checkpoint").exists()


def _nearest(here: Path) -> Path:
    for folder in (here, *here.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    return here / FOLDER
