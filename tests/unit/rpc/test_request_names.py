"""Names and small fields of requests."""

import pytest

from searchd.domain.errors import InvalidArgument
from searchd.rpc import names
from searchd.rpc.server import loopback_address
from searchd.v1.study_service_pb2 import CreateStudyRequest, DeleteStudyRequest, StopStudyRequest

LONGEST = "a" + "b" * 61 + "c"


def test_full_names_are_taken_apart() -> None:
    """A name of the right form gives its parts; an unset parent is the default project."""
    assert names.project_of("projects/team") == "team"
    assert names.project_of("") == "default"
    assert names.study_of("name", f"projects/a/studies/{LONGEST}") == f"projects/a/studies/{LONGEST}"
    assert names.trial_of("name", "projects/a/studies/b/trials/17") == ("projects/a/studies/b", 17)
    assert names.trial_or_study_of("parent", "projects/a/studies/b") == ("projects/a/studies/b", None)
    assert names.trial_or_study_of("parent", "projects/a/studies/b/trials/2") == ("projects/a/studies/b", 2)


@pytest.mark.parametrize(
    "parent", ["team", "projects/", "projects/Team", "projects/a/", "projects/a/studies/b", "projects/a\n"]
)
def test_what_is_no_project_is_refused(parent: str) -> None:
    """A parent that is no project's name is refused with the pattern."""
    with pytest.raises(InvalidArgument, match=r"parent: .*\[a-z\]"):
        names.project_of(parent)


@pytest.mark.parametrize(
    "name",
    ["", "b", "projects/a/studies/", "projects/a/studies/B", "projects/a/studies/b-", f"projects/a/studies/{LONGEST}d"],
)
def test_what_is_no_study_is_refused(name: str) -> None:
    """A name that is no study's is refused, naming the field and the pattern."""
    with pytest.raises(InvalidArgument, match=r"name: .*projects/\{project\}/studies/\{study\} with ids that match"):
        names.study_of("name", name)


@pytest.mark.parametrize("number", ["0", "-1", "01", "x", "2147483648", "99999999999999999999", "1/x", ""])
def test_what_is_no_trial_is_refused(number: str) -> None:
    """A trial's number is a whole number from 1 that fits."""
    with pytest.raises(InvalidArgument, match="is not the name of a trial"):
        names.trial_of("name", f"projects/a/studies/b/trials/{number}")


def test_a_long_name_is_shown_shortened() -> None:
    """The message of a refusal stays short whatever was sent."""
    with pytest.raises(InvalidArgument) as caught:
        names.study_of("name", "x" * 100_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("study_id", "wrong"), [("", False), ("a", False), (LONGEST, False), ("A", True), ("a-", True), ("1", True)]
)
def test_ids_of_studies_match_the_pattern(study_id: str, wrong: bool) -> None:
    """A malformed id is a violation beside the definition's own; an unset one is left to the server."""
    assert [v.path for v in names.study_id_violations(study_id)] == (["study_id"] if wrong else [])


def test_a_request_id_has_at_most_128_characters() -> None:
    """A longer one is refused."""
    assert names.request_id_of("x" * 128) == "x" * 128
    with pytest.raises(InvalidArgument, match="request_id: has 129 characters"):
        names.request_id_of("x" * 129)


def test_a_digest_tells_requests_apart_but_not_their_ids() -> None:
    """Equal bodies have equal digests whatever their request_id; another body or another method has another."""
    first = CreateStudyRequest(study_id="a", request_id="1")
    first.study.labels.update({"a": "1", "b": "2"})
    second = CreateStudyRequest(study_id="a", request_id="2")
    second.study.labels.update({"b": "2", "a": "1"})
    assert names.digest_of(first) == names.digest_of(second)
    assert first.request_id == "1"
    others = {
        names.digest_of(m)
        for m in (first, CreateStudyRequest(), StopStudyRequest(name="x"), DeleteStudyRequest(name="x"))
    }
    assert len(others) == 4


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("127.1.2.3:0", ("127.1.2.3", 0)),
        ("localhost:1", ("127.0.0.1", 1)),
        ("[::1]:65535", ("[::1]", 65535)),
    ],
)
def test_loopback_addresses_are_taken(listen: str, address: tuple[str, int]) -> None:
    """Every address of this machine alone is fine, on any port."""
    assert loopback_address(listen) == address


@pytest.mark.parametrize(
    ("listen", "reason"),
    [
        *((a, "can be reached from other machines") for a in ("0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1")),
        *((a, "is not an address") for a in ("", ":1", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:x", "::1:1", "a b")),
    ],
)
def test_any_other_address_is_refused(listen: str, reason: str) -> None:
    """Without access control nothing listens beyond loopback; the refusal names the option and the remedy."""
    with pytest.raises(InvalidArgument, match=rf"^--listen: .*{reason}"):
        loopback_address(listen)
