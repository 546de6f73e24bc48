"""Which tests of one server, with its threads in memory, are not so in another mode, and why. See `conftest.py`."""

from __future__ import annotations

from typing import Final

__all__ = ["NOT_OF_A_SHARED_STORE", "NOT_OF_A_STORE", "NOT_OF_SEVERAL"]

PER_SERVER: Final = "limits are each server's own"

REPLACED: Final = "it looks into a checkpointer that this mode replaces"

NOT_OF_A_STORE: Final = {
    "test_app.py::test_it_is_served_again": "a store that outlives the server still has its threads",
    "test_client.py::test_a_viewer_that_is_outrun": "with a store, a run does not outrun its viewers for sure",
    "test_ownership.py::test_an_owner_makes_room_among_their_own": "no thread in a store is forgotten for another one",
    "test_refusals.py::test_too_many_threads": "no thread in a store is forgotten for another one",
    "test_ownership.py::test_checkpoints_are_their_owners_too": REPLACED,
    "test_ownership.py::test_an_operator_names_the_checkpoints": REPLACED,
}
"""Test -> what is otherwise where threads outlive the server."""

NOT_OF_A_SHARED_STORE: Final = {
    **NOT_OF_A_STORE,
    "test_app.py::test_once_it_is_being_stopped_nothing_is_accepted": "another server may run what it accepts",
    "test_health.py::test_metrics": "there is a lease to report; of two servers each reports its own figures",
    "test_ownership.py::test_one_owner_does_not_lock_out_the_others": "limits are each server's, not those of threads",
    "test_refusals.py::test_too_many_runs": "runs may be accepted for which another server has room",
}
"""The same where servers may share the store."""

NOT_OF_SEVERAL: Final = {
    **NOT_OF_A_SHARED_STORE,
    "test_client.py::test_a_run_stops_after_its_step": "the server that runs it may hear a moment later that it is to",
    "test_health.py::test_probes": "a probe asks one server, not whichever the proxy chooses",
    "test_health.py::test_figures_are_for_operators": "it stops one server",
    "test_health.py::test_gaps_are_counted": "of two servers each counts its own",
    "test_health.py::test_a_cancelled_run_may_leave_something_running": "only the server that runs it knows its nodes",
    "test_intake.py::test_bodies_are_bounded_in_number_and_in_bytes": PER_SERVER,
    "test_refusals.py::test_too_many_connections": PER_SERVER,
    "test_refusals.py::test_a_run_that_cannot_be_shown_is_not_begun": PER_SERVER,
    "test_refusals.py::test_a_viewer_that_accepts_nothing_is_dropped": PER_SERVER,
}
"""The same of two servers behind a proxy."""
