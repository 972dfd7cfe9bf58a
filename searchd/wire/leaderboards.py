"""Rankings between wire and domain."""

from searchd.domain.fidelity import Fidelity
from searchd.domain.leaderboard import BestConfig, Entry, Leaderboard, PairedDifference
from searchd.domain.space import Parameters
from searchd.v1 import leaderboard_service_pb2, study_pb2
from searchd.wire.studies import decode_study, encode_study
from searchd.wire.trials import decode_trial, encode_trial
from searchd.wire.values import decode_parameters, encode_parameters


def encode_leaderboard(leaderboard: Leaderboard) -> leaderboard_service_pb2.GetLeaderboardResponse:
    """A study and its ranking."""
    fixed = leaderboard.study.spec.fixed
    return leaderboard_service_pb2.GetLeaderboardResponse(
        study=encode_study(leaderboard.study),
        entries=[_encode_entry(entry, fixed) for entry in leaderboard.entries],
    )


def decode_leaderboard(message: leaderboard_service_pb2.GetLeaderboardResponse) -> Leaderboard:
    """A study and its ranking; trials' parameters include the fixed ones."""
    return Leaderboard(decode_study(message.study), tuple(map(_decode_entry, message.entries)))


def encode_best(best: BestConfig) -> leaderboard_service_pb2.GetBestConfigResponse:
    """The best configuration, with how sure it is."""
    fixed = best.study.spec.fixed
    return leaderboard_service_pb2.GetBestConfigResponse(
        study=encode_study(best.study),
        best=_encode_entry(best.best, fixed),
        parameters=encode_parameters(best.parameters),
        default_configuration=_encode_entry(best.default, fixed) if best.default is not None else None,
        gain=_encode_difference(best.gain),
        tied_trials=best.tied,
        remarks=best.remarks,
    )


def decode_best(message: leaderboard_service_pb2.GetBestConfigResponse) -> BestConfig:
    """The best configuration, with how sure it is; trials' parameters include the fixed ones."""
    return BestConfig(
        study=decode_study(message.study),
        best=_decode_entry(message.best),
        parameters=decode_parameters(message.parameters),
        default=_decode_entry(message.default_configuration) if message.HasField("default_configuration") else None,
        gain=_decode_difference(message.gain) if message.HasField("gain") else None,
        tied=tuple(message.tied_trials),
        remarks=tuple(message.remarks),
    )


def _encode_entry(entry: Entry, fixed: Parameters) -> leaderboard_service_pb2.LeaderboardEntry:
    return leaderboard_service_pb2.LeaderboardEntry(
        rank=entry.rank,
        trial=encode_trial(entry.trial, fixed),
        mean=entry.mean,
        standard_error=entry.standard_error,
        versus_first=_encode_difference(entry.versus_first),
        tied=entry.tied,
        rung=study_pb2.Rung(folds=entry.rung.folds, epochs=entry.rung.epochs),
        metrics=entry.metrics,
    )


def _decode_entry(message: leaderboard_service_pb2.LeaderboardEntry) -> Entry:
    return Entry(
        rank=message.rank,
        trial=decode_trial(message.trial),
        mean=message.mean,
        standard_error=message.standard_error if message.HasField("standard_error") else None,
        versus_first=_decode_difference(message.versus_first) if message.HasField("versus_first") else None,
        rung=Fidelity(message.rung.folds, message.rung.epochs),
        metrics=dict(sorted(message.metrics.items())),
    )


def _encode_difference(difference: PairedDifference | None) -> leaderboard_service_pb2.PairedDifference | None:
    if difference is None:
        return None
    return leaderboard_service_pb2.PairedDifference(
        mean=difference.mean, low=difference.low, high=difference.high, folds=difference.folds
    )


def _decode_difference(message: leaderboard_service_pb2.PairedDifference) -> PairedDifference:
    return PairedDifference(message.mean, message.low, message.high, message.folds)
