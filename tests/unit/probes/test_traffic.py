"""Requests counted by path and status, and by how long they took."""

from probes import traffic


def test_an_answer_counts_in_the_bucket_of_its_duration_and_one_without_duration_in_none():
    counted = traffic.Traffic()
    for seconds in (0.00005, traffic.BOUNDS_SECONDS[0], 0.0002, 2.0):
        counted.note("/ready", 200, seconds)
    counted.note("/v1/events", 200)

    assert counted.requests == {("/ready", 200): 4, ("/v1/events", 200): 1}
    assert counted.durations["/ready"].counts == [2, 1, *[0] * (len(traffic.BOUNDS_SECONDS) - 2), 1]
    assert abs(counted.durations["/ready"].sum_seconds - 2.00035) < 1e-9
    assert "/v1/events" not in counted.durations
