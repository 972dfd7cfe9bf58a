"""What a command that did not succeed says, and its exit code."""

import pytest

from searchd.cli.failures import CommandFailed, ExitCode, exit_code, explanation
from searchd.domain import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandFailed("x", ExitCode.REFUSED), 4),
        (errors.InvalidStudy([]), 2),
        (errors.InvalidArgument("a", "b", "c"), 2),
        (FileNotFoundError(2, "No such file", "x"), 2),
        (errors.StudyNotFound("x"), 3),
        (errors.TrialNotFound("x", 1), 3),
        (errors.TrainableNotFound("x", []), 3),
        (errors.StudyExists("x", []), 4),
        (errors.StudyActive("x", "running"), 4),
        (errors.RequestReused("x"), 4),
        (errors.NoCompleteTrial("x"), 4),
        (errors.Overloaded("x", 1), 4),
        (errors.ServerUnreachable("x", "y"), 5),
        (errors.ServerStopping(), 5),
        (errors.StoreUnavailable("x"), 5),
        (errors.LeaseLost(1, 2), 5),
        (errors.NotLeader(""), 5),
        (errors.StoreFull("x"), 4),
        (errors.StoreDamaged("x", "y"), 4),
        (errors.TrainableQuarantined("x", "y"), 4),
        (RuntimeError("x"), 1),
        (OSError(28, "No space left"), 1),
    ],
)
def test_every_kind_of_failure_has_its_exit_code(error: Exception, code: int) -> None:
    """1 failed, 2 usage, 3 not found, 4 refused, 5 out of reach."""
    assert exit_code(error) == code


def test_an_explanation_is_one_line() -> None:
    """Whatever the message holds; only the violations of a study have one line each."""
    assert explanation(RuntimeError("a\nb")) == ["error: RuntimeError: a b; SEARCHD_DEBUG=1 shows where"]
    assert explanation(CommandFailed("a\n b", ExitCode.FAILED)) == ["error: a b"]
    assert explanation(CommandFailed("a\x1b[2J", ExitCode.FAILED)) == [r"error: a\x1b[2J"]
    assert explanation(FileNotFoundError(2, "No such file", "x.yaml")) == ["error: x.yaml: No such file"]
    assert "pip install 'searchd[server]'" in explanation(ModuleNotFoundError("No module named 'ray'"))[0]
    violations = [errors.Violation("a", "is bad", "mend it"), errors.Violation("b", "is\nworse", "drop it")]
    assert explanation(errors.InvalidStudy(violations)) == ["a: is bad; mend it", "b: is worse; drop it"]
