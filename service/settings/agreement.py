# SPDX-License-Identifier: Apache-2.0
"""What sections of config.yaml must not say against each other: every such problem at once, with the keys concerned."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.settings.schema import Settings

Location = tuple[int | str, ...]
"""Where in config.yaml: names of keys, and numbers of entries in lists from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """What two or more keys say against each other, and where they are; keys that are not there may be among them."""

    message: str
    keys: tuple[Location, ...]


class DisagreementError(ValueError):
    """Sections do not fit each other; `misfits` says how."""

    def __init__(self, misfits: tuple[Misfit, ...]) -> None:
        super().__init__("; ".join(misfit.message for misfit in misfits))
        self.misfits = misfits


def misfits_in(settings: "Settings", *, but: frozenset[str] = frozenset()) -> Iterator[Misfit]:
    """Yield what does not fit, of the rules that read no section of `but`."""
    for sections, rule in RULES:
        if not but & sections:
            yield from rule(settings)


def _doubled(section: str) -> "Callable[[Settings], Iterator[Misfit]]":
    def doubled(settings: "Settings") -> Iterator[Misfit]:
        names = [entry.name for entry in getattr(settings, section)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            keys = tuple((section, number, "name") for number, other in enumerate(names) if other == name)
            yield Misfit(message=f"{section}: name {name!r} is used twice; give each entry its own name", keys=keys)

    return doubled


def _unknown_pipelines(settings: "Settings") -> Iterator[Misfit]:
    known = ", ".join(sorted(settings.pipelines))
    for number, rule in enumerate(settings.rules):
        for place, pipeline in enumerate(rule.pipelines):
            if pipeline not in settings.pipelines:
                yield Misfit(
                    message=f"rules: {rule.name!r} names pipeline {pipeline!r}, which 'pipelines' does not list; "
                    f"known: {known}",
                    keys=(("rules", number, "pipelines", place), ("pipelines",)),
                )


def _certificates_nobody_asks_for(settings: "Settings") -> Iterator[Misfit]:
    if settings.node.tls is not None or (settings.dicomweb is not None and settings.dicomweb.tls is not None):
        return
    for number, peer in enumerate(settings.peers):
        if peer.pins_certificate:
            pinned = next(key for key in ("certificate_sha256", "certificate_name") if getattr(peer, key) is not None)
            yield Misfit(
                message=f"peers: {peer.name!r} must show a certificate, which it can over TLS alone; give 'node.tls' "
                "or 'dicomweb.tls', or take certificate_sha256 and certificate_name away",
                keys=(("peers", number, pinned), ("node",), ("dicomweb",)),
            )


def _views_unrecorded(settings: "Settings") -> Iterator[Misfit]:
    if settings.http.viewers is not None and settings.audit is None:
        yield Misfit(
            message="http.viewers: identity is shown only where each view is recorded; give 'audit', or remove "
            "'viewers'",
            keys=(("http", "viewers"),),
        )


def _dicomweb_without_senders(settings: "Settings") -> Iterator[Misfit]:
    if settings.dicomweb is not None and not any(peer.sends_over_dicomweb for peer in settings.peers):
        yield Misfit(
            message="dicomweb: no peer has a 'token_file' or a certificate, so nobody could send; give them",
            keys=(("dicomweb",), ("peers",)),
        )


def _tokens_without_dicomweb(settings: "Settings") -> Iterator[Misfit]:
    if settings.dicomweb is not None:
        return
    for number, peer in enumerate(settings.peers):
        if peer.token_file is not None:
            yield Misfit(
                message=f"peers: {peer.name!r} has a 'token_file', but there is no 'dicomweb' section, so that nothing "
                "listens for it; add the section or take the file away",
                keys=(("peers", number, "token_file"),),
            )


def _priors_from_nowhere(settings: "Settings") -> Iterator[Misfit]:
    if settings.priors is None:
        return
    name, able = settings.priors.source, [entry.name for entry in settings.destinations if not entry.url]
    if name in able:
        return
    what = "speaks DICOMweb alone" if name in {entry.name for entry in settings.destinations} else "is no destination"
    yield Misfit(
        message=f"priors: source {name!r} {what}; name a destination that answers C-FIND and C-MOVE (with 'ae_title', "
        f"'host' and 'port'); known: {', '.join(sorted(able)) or 'none'}",
        keys=(("priors", "source"), ("destinations",)),
    )


RULES: "tuple[tuple[frozenset[str], Callable[[Settings], Iterator[Misfit]]], ...]" = (
    *((frozenset({section}), _doubled(section)) for section in ("peers", "destinations", "rules", "webhooks")),
    (frozenset({"rules", "pipelines"}), _unknown_pipelines),
    (frozenset({"peers", "node", "dicomweb"}), _certificates_nobody_asks_for),
    (frozenset({"http", "audit"}), _views_unrecorded),
    (frozenset({"dicomweb", "peers"}), _dicomweb_without_senders),
    (frozenset({"dicomweb", "peers"}), _tokens_without_dicomweb),
    (frozenset({"priors", "destinations"}), _priors_from_nowhere),
)
"""Each rule beside the sections that it reads: it says nothing where one of them is wrong in itself."""
