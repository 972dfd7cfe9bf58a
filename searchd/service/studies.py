"""Studies: create, read, change, stop, delete, and take configurations.

Reads come from the store, so they show only what is durable.
"""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from searchd.conductor.messages import ChangeStudy, CreateStudy, DeleteStudy, EnqueueTrial, StopStudy
from searchd.domain.card import Card
from searchd.domain.checks import budget_violations, configuration_violations, label_violations
from searchd.domain.code import CodeId, code_violations
from searchd.domain.draft import StudyDraft
from searchd.domain.errors import (
    CodeRefused,
    InvalidArgument,
    InvalidStudy,
    StoreUnavailable,
    StudyExists,
    StudyNotFound,
    Violation,
)
from searchd.domain.space import Parameters
from searchd.domain.study import (
    ID_PATTERN,
    Changes,
    Dataset,
    Progress,
    Study,
    StudyName,
    StudySpec,
    StudyState,
    study_name,
)
from searchd.domain.trial import Origin, Trial
from searchd.ports.catalog import Catalog, Datasets, Inspection
from searchd.ports.clock import Clock
from searchd.ports.code import CodeStore
from searchd.ports.store import Store
from searchd.ports.tracker import NoTracker, Tracked, Tracker
from searchd.service.definition import Surroundings, VendorCheck, any_vendor, chosen_split, define
from searchd.service.desk import remembered
from searchd.service.heritage import inherited
from searchd.service.loop import Loop
from searchd.service.warmth import named, unknown_studies, warmth

_logger = logging.getLogger(__name__)


class Studies:
    """Use cases of studies. Without ``code`` no code of callers is taken."""

    def __init__(
        self,
        store: Store,
        loop: Loop,
        catalog: Catalog,
        datasets: Datasets,
        clock: Clock,
        vendors: VendorCheck = any_vendor,
        tracker: Tracker | None = None,
        code: CodeStore | None = None,
    ) -> None:
        self._store = store
        self._code = code
        self._loop = loop
        self._catalog = catalog
        self._datasets = datasets
        self._clock = clock
        self._vendors = vendors
        self._tracker = tracker or NoTracker()
        self._numbers: dict[tuple[str, str], int] = {}

    async def create(
        self,
        project: str,
        study_id: str,
        draft: StudyDraft,
        violations: Sequence[Violation],
        *,
        request_id: str,
        digest: str,
        validate_only: bool,
    ) -> Study:
        """Start a study; with an existing name and the same definition, the study that exists.

        Args:
            project: Id of the project.
            study_id: Id of the study; empty to have one made from the trainable's name.
            draft: The definition as written.
            violations: What decoding it found.
            request_id: For repeats; empty if the caller gave none.
            digest: Digest of the request's body.
            validate_only: Check, and answer with what would be created.

        Raises:
            InvalidArgument: an id is malformed, or a trainable's module cannot be imported.
            CodeNotFound: the code that the definition names is not here.
            CodeRefused: it names some, and no code of callers is taken.
            InvalidStudy: the definition has violations, all of them listed.
            StudyExists: another study has that name.
            RequestReused: the request_id came with another body before.
            Overloaded: too many requests wait.
            ServerStopping: the server is leaving.
            StoreUnavailable: the store failed; nothing was created.
        """
        for field, value in (("parent", project), ("study_id", study_id)):
            if value and not re.fullmatch(ID_PATTERN, value):
                raise InvalidArgument(field, f"{value!r} is not an id", f"use {ID_PATTERN}")
        before = await asyncio.to_thread(remembered, self._store, request_id, digest)
        if isinstance(before, Study):
            return before
        if self._loop.refusal is not None and not validate_only:
            raise self._loop.refusal.with_traceback(None)
        cards = await asyncio.to_thread(self._cards, draft.code_id)
        heir = await asyncio.to_thread(inherited, self._store, project, draft)
        draft, inspection = heir.draft, None
        if draft.dataset is not None:
            inspection = await asyncio.to_thread(self._inspected, draft, draft.dataset)
        nodes = self._loop.conductor.mind.cluster.nodes
        conflicts = () if inspection is None else heir.conflicts(inspection.fingerprint)
        unknown = await asyncio.to_thread(lambda: list(unknown_studies(self._store, project, draft.warm_start)))
        around = Surroundings(cards, inspection, nodes, self._vendors)
        # Elsewhere, since to see what constraints leave of a space may take seconds.
        spec = await asyncio.to_thread(define, draft, (*violations, *unknown, *heir.violations, *conflicts), around)
        name = study_name(project, study_id) if study_id else await self._free_name(project, spec.trainable)
        card = cards[spec.trainable]
        default = None
        if card.default is not None:
            default = {n: v for n, v in card.default.items() if n not in spec.fixed}
        known = await asyncio.to_thread(warmth, self._store, project, spec, default)
        first, remarks = _first(spec, default)
        study = Study(
            name,
            replace(spec, precedents=known.precedents, inherited=known.best, heritage=heir.heritage),
            card.code,
            inspection.fingerprint if inspection else "",
            self._clock.now(),
            progress=Progress(search_log=(*heir.remarks, *remarks, *known.remarks)),
        )
        if validate_only:
            return await self._as_it_would_be(study)
        return await self._loop.request(CreateStudy(study, first), request_id, digest)

    async def change(self, name: StudyName, changes: Changes, *, request_id: str, digest: str) -> Study:
        """Change a study's budget, priority or labels; an ended one goes on if it has room for more trials then.

        Raises:
            StudyNotFound: there is none of that name.
            StudyChanged: the changes carry another etag than the study has.
            InvalidStudy: with every violation of what would come out.
            RequestReused, Overloaded, ServerStopping, StoreUnavailable: as in ``create``.
        """
        known = await self.get(name)
        spec = changes.applied(known.spec)
        violations = [*budget_violations(spec.budget), *label_violations(spec.labels)]
        if violations:
            raise InvalidStudy(violations)
        return await self._loop.request(ChangeStudy(name, changes), request_id, digest)

    async def enqueue(self, name: StudyName, parameters: Parameters, *, request_id: str, digest: str) -> Trial:
        """Have a configuration tried next, within the study's budget.

        Raises:
            StudyNotFound: there is none of that name.
            InvalidStudy: the configuration is not one of the study's space; every violation is listed.
            StudyEnded: the study takes no more trials.
            BudgetUsed: nor does its budget.
            RequestReused, Overloaded, ServerStopping, StoreUnavailable: as in ``create``.
        """
        spec = (await self.get(name)).spec
        violations = tuple(configuration_violations(spec, parameters))
        if violations:
            raise InvalidStudy(violations)
        searched = {known: value for known, value in parameters.items() if known not in spec.fixed}
        return await self._loop.enqueue(EnqueueTrial(name, searched), request_id, digest)

    async def get(self, name: StudyName) -> Study:
        """A study.

        Raises:
            StudyNotFound: there is none of that name.
        """
        return await asyncio.to_thread(self._store.study, name)

    async def tracked(self, study: Study) -> Sequence[Tracked]:
        """How far a study is in the other places that it names."""
        return await asyncio.to_thread(self._tracker.state, study) if study.spec.track else ()

    async def named(self, project: str, study: str) -> Study | None:
        """A study by its full name or by its id in a project; None if there is none."""
        return await self._find(named(project, study))

    async def list(
        self,
        project: str,
        states: frozenset[StudyState] | None,
        labels: Mapping[str, str],
        after: StudyName | None,
        limit: int,
    ) -> Sequence[Study]:
        """Up to ``limit`` studies of a project in name order."""
        return await asyncio.to_thread(self._store.studies, project, states, dict(labels), after, limit)

    async def stop(self, name: StudyName, *, request_id: str, digest: str) -> Study:
        """End a study with what it has; an ended one is left as it is.

        Raises:
            StudyNotFound: there is none of that name.
            RequestReused, Overloaded, ServerStopping, StoreUnavailable: as in ``create``.
        """
        return await self._loop.request(StopStudy(name), request_id, digest)

    async def delete(self, name: StudyName, *, request_id: str, digest: str) -> None:
        """Delete an ended study and everything in it.

        Raises:
            StudyNotFound: there is none of that name.
            StudyActive: it has not ended.
            RequestReused, Overloaded, ServerStopping, StoreUnavailable: as in ``create``.
        """
        await self._loop.request(DeleteStudy(name), request_id, digest)
        await asyncio.to_thread(self._discard_code)

    def _cards(self, code_id: str) -> Mapping[str, Card]:
        """The trainables that a study may name: those of its code, if it names some by what can be an id."""
        if not code_id or any(code_violations(code_id)):
            return self._catalog.cards()
        if self._code is None:
            raise CodeRefused
        return self._code.cards(CodeId(code_id))

    def _discard_code(self) -> None:
        if self._code is not None:
            try:
                self._code.discard(self._store.uses_code)
            except StoreUnavailable as error:  # the study is deleted; this is done again with the next one
                _logger.warning("code that no study names is kept for now: %s", error)

    def _inspected(self, draft: StudyDraft, dataset: Dataset) -> Inspection:
        """The dataset checked with the split it will have, which may depend on what it holds."""
        split = chosen_split(draft, None)
        inspection = self._datasets.inspect(dataset, replace(draft.evaluation, split=split))
        suited = chosen_split(draft, inspection)
        if suited is not split:
            inspection = self._datasets.inspect(dataset, replace(draft.evaluation, split=suited))
        return inspection

    async def _as_it_would_be(self, study: Study) -> Study:
        """What creating this study would answer."""
        existing = await self._find(study.name)
        if existing is None:
            return study
        differing = existing.spec.differing(study.spec)
        if differing:
            raise StudyExists(study.name, differing)
        return existing

    async def _find(self, name: StudyName) -> Study | None:
        try:
            return await self.get(name)
        except StudyNotFound:
            return None

    async def _free_name(self, project: str, trainable: str) -> StudyName:
        """A name made from the trainable's, numbered from 1; no two callers are given the same."""
        stem = re.sub(r"[^a-z0-9]+", "-", trainable.lower()).strip("-")[:50] or "study"
        stem = stem if stem[0].isalpha() else f"study-{stem}"
        while True:
            number = self._numbers[project, stem] = self._numbers.get((project, stem), 0) + 1
            name = study_name(project, f"{stem}-{number}")
            if await self._find(name) is None:
                return name


def _first(
    spec: StudySpec, default: Parameters | None
) -> tuple[tuple[tuple[Parameters, Origin], ...], tuple[str, ...]]:
    """The configurations that a study begins with, and what is to be said of them."""
    if default is None or not spec.search.default_first:
        return (), ()
    unmet = spec.space.unmet(default)
    if unmet is not None:
        return (), (f"the default configuration does not meet {unmet!r} and is not tried",)
    return ((default, Origin.DEFAULT),), ()
