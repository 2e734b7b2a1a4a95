"""The clinic's visits: complete, in order, with gaps where the source has them."""

from odelab.datasets import data_file, liver_visits


def test_the_visits_are_those_of_the_source() -> None:
    visits = liver_visits()
    assert visits.x.shape == (312, 16, 6) and int(visits.number.sum()) == 1945
    assert visits.status.bincount().tolist() == [143, 29, 140]
    first = visits.x[0, :2, 0].tolist()
    assert first == [14.5, 21.3] and bool(visits.x[0, 1, 1].isnan()), "no cholesterol at the second visit"
    share = visits.x[visits.there].isnan().double().mean(0)
    assert share[[0, 2, 3, 5]].max() == 0 and 0.4 < share[1] < 0.45
    assert "Mayo" in visits.source and len(visits.channels) == 6


def test_clocks_rise_and_then_stand_still() -> None:
    visits = liver_visits()
    steps = visits.times.diff(dim=1)
    assert bool((steps[visits.there[:, 1:]] > 0).all())
    assert bool((steps[~visits.there[:, 1:]] == 0).all())
    assert bool((visits.end >= visits.times[:, -1]).all()) and bool(visits.x[~visits.there].isnan().all())


def test_the_file_is_small() -> None:
    assert data_file("liver_visits.csv").stat().st_size < 150_000
