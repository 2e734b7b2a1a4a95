"""A user's own table: what its cells are read as, and what is refused with its column and line."""

import math
import sys
import warnings

import numpy as np
import pytest
import torch

from odelab.datasets import load_sequences


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_table(tmp_path):
    text = "sequence,time,a,b\none,0,1,2\ntwo,0.5,5,\none,1,3,NaN\none,1.5,,\ntwo,1.0,7,8\n"
    read = load_sequences(write(tmp_path / "a.csv", text))
    assert read.x.tolist() == [[[1, 2], [3, 0], [0, 0]], [[5, 0], [7, 8], [0, 0]]]
    assert read.times.tolist() == [[0, 1, 1.5], [0.5, 1, 1]]  # nothing was observed after 1
    assert read.mask.tolist() == [[[True] * 2, [True, False], [False] * 2], [[True, False], [True] * 2, [False] * 2]]
    assert read.last_times.tolist() == [1, 1] and read.time_unit == ""


def test_suffixes_in_capitals(tmp_path):
    assert load_sequences(write(tmp_path / "A.CSV", "sequence,time,a\n1,0,1\n")).x.item() == 1
    with (tmp_path / "A.NPZ").open("wb") as file:
        np.savez(file, x=np.ones((1, 1, 1)))
    assert load_sequences(tmp_path / "A.NPZ").x.item() == 1


def test_table_with_shared_times(tmp_path):
    read = load_sequences(write(tmp_path / "a.csv", "Time, Sequence, a\n0,1,1\n1,1,\n0,2,3\n\n1,2,4\n,,\n"))
    assert read.times.tolist() == [0, 1] and read.mask.tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"a\.csv has the columns \(none\); it must have sequence, time and at least one channel"),
        ("when,a\n0,1\n", r"has the columns when, a"),
        ("time,a\n0,1\n", r"has the columns time, a; .* a single series has one name all down `sequence`"),
        ("sequence,time,a\n", "a header and no rows"),
        ("sequence,time,a\n1,0,1\n1,0,2\n", r"line 3: times must increase within a sequence, but 0 comes after 0"),
        ("sequence,time,a\n1,0,1\n1,1,2\n1,.5,2\n", r"line 4: times must increase .* \.5 comes after 1; sort the rows"),
        ("sequence,time,a\n1,0,1\n1,,2\n", r"line 3: the time is missing"),
        ("sequence,time,a\n1,inf,1\n", r"line 2, time: 'inf' is no time"),
        ("sequence,time,a,\n1,0,1,\n1,1,2,7\n", r"column 4 has no name, but cells such as '7' in line 3"),
        (",sequence,time,a\n5,1,0,1\n7,1,1,2\n", r"column 1 has no name.*to_csv\(…, index=False\)"),
        ("sequence,time,a,Unnamed: 3\n1,0,1,x\n", r"column 4 has no name, but cells such as 'x' in line 2"),
        ("sequence,time,\n1,0,\n", "no channel with a name"),
        ("sequence,time,a,b,a\n1,0,1,2,3\n", r"a\.csv has two columns that are called a;"),
        ("sequence,time,a,Time\n1,0,1,2\n", r"two columns that are called time"),
        ("sequence;time;a;b\n1;0;2,6;3.5\n", r"line 2, a: '2,6' has a decimal comma, but .* line 2, b: '3\.5' a point"),
        ("sequence;time;a\n1;0;1.234,5\n", r"line 2, a: '1\.234,5' is not a number; leave thousands unmarked$"),
        ('sequence,time,a\n1,0,"2,6"\n', r"line 2, a: '2,6' is not a number; leave .*write decimals with a point"),
        ("sequence|time|a\n1|0|1\n", r"has the columns sequence\|time\|a; .*parted by a comma, a semicolon, a tab"),
        ("sequence,time,a\n1,01/02/2021,1\n", r"line 2, time: '01/02/2021' is neither a number nor a date"),
        ("sequence,time,a\n1,1.3.2021,1\n", r"line 2, time: '1\.3\.2021' is neither a number nor a date"),
        (
            "sequence,time,a\n1,20210301,1\n1,20210401,1\n",
            r"line 2, time: 20210301 .*look like dates; write .*2021-03-01",
        ),
        ("sequence,time,a\n1,2021-03-01,1\n1,2021-02-30,1\n", r"line 3, time: '2021-02-30' is no date of the kind"),
        ("sequence,time,a\n1,2021-03-01,1\n1,7,1\n", r"line 3, time: '7' is no date of the kind 2021-03-01"),
        ("sequence,time,a\n1,3,1\n1,2021-03-01,1\n", r"line 3, time: '2021-03-01' is neither a number nor a date"),
        ("sequence,time,a\n1,00:07,1\n1,00:77,1\n", r"line 3, time: '00:77' is no time of the kind 13:30"),
        ("sequence,time,a\n1,23:50,1\n1,00:10,1\n", r"00:10 comes after 23:50.* go on with 24:10"),
        (
            "sequence,time,a\n1,2021-03-01T10:00Z,1\n1,2021-03-01T11:00,1\n",
            r"line 3, time: '2021-03-01T11:00' has no time zone, unlike the first",
        ),
        ("sequence,time,a\n1,0,1\n1,1,x\n", r"line 3, a: 'x' is not a number"),
        ("sequence,time,a\n1,0,1\n1,1\n", r"line 3 has 2 cells; the header has 3"),
        ("sequence,time,a\nb,0,\nb,1,\n", r"nothing was observed in sequence b"),
        ("sequence,time,a\n1,0,inf\n", r"line 2, a: 'inf' is infinite; leave the cell empty"),
        ("sequence,time,a\n1,0,1_000\n", r"line 2, a: '1_000' is not a number"),
        ("sequence,time,a\n1,0,1\n2,0,-1e300\n", r"sequence 1 has values such as -1e\+300, but float32 ends"),
        ("sequence,time,a\n1,0,1\n ,1,2\n", r"a\.csv, line 3: the sequence is missing"),
        ("sequence,time,a\n1,0," + "9" * 200_000, r"a\.csv cannot be read as a table .*UTF-8"),
    ],
)
def test_bad_table(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        load_sequences(write(tmp_path / "a.csv", text))


@pytest.mark.parametrize(
    "text",
    [
        ",sequence,time,HR\n0,a,0,73\n1,a,1,77\n2,b,0.5,80\n",  # as pandas writes it
        "Unnamed: 0,sequence,time,HR\n2,a,0,73\n0,a,1,77\n1,b,0.5,80\n",  # and reads and writes it again, sorted
        "sequence,time,HR,\na,0,73,\na,1,77,\nb,0.5,80,\n",
        "sequence;time;HR\na;0;73\na;1;77\nb;0,5;80\n",
        "sequence\ttime\tHR\na\t0\t73\na\t1\t77\nb\t0.5\t80\n",
    ],
    ids=["index", "index read and written", "trailing comma", "semicolons", "tabs"],
)
def test_tables_as_programs_write_them(tmp_path, text):
    read = load_sequences(write(tmp_path / "a.csv", text))
    assert read.x.tolist() == [[[73], [77]], [[80], [0]]] and read.times.tolist() == [[0, 1], [0.5, 0.5]]


def test_decimal_commas(tmp_path):
    read = load_sequences(write(tmp_path / "a.csv", "sequence;time;a;b\n1;0;2,6;-1,36e1\n1;0,25;;13\n"))
    assert np.allclose(read.x.tolist(), [[[2.6, -13.6], [0, 13]]]) and read.times.tolist() == [0, 0.25]


@pytest.mark.parametrize(
    ("cells", "hours", "unit"),
    [
        (["2021-03-01", "2021-03-02", "2021-03-28"], [0, 24, 648], "days since 2021-03-01"),
        (["2021/03/01", "2021/03/02", "2021/03/28"], [0, 24, 648], "days since 2021-03-01"),
        (["2021-03-01 06:30", "2021-03-01 06:40", "2021-03-02"], [0, 1 / 6, 17.5], "hours since 2021-03-01 06:30:00"),
        (["2021-03-01T23:00+02:00", "2021-03-01T23:00Z"], [0, 2], "hours since 2021-03-01 21:00:00"),
        (["00:07", "00:37", "47:59"], [0, 0.5, 47 + 52 / 60], "hours since 00:07"),
        (["0:00:00.5", "0:00:01", "1 days 00:00:00.5"], [0, 0.5 / 3600, 24], "hours since 0:00:00.5"),
    ],
)
def test_dates_are_counted_from_the_first(tmp_path, capsys, cells, hours, unit):
    lines = [f"{s},{cell},{k}" for s in ("late", "all") for k, cell in enumerate(cells) if s == "all" or k > 0]
    read = load_sequences(write(tmp_path / "a.csv", "\n".join(["sequence,time,a", *lines])))
    expected = np.array(hours) / (24 if unit.startswith("days") else 1)
    assert read.times.dtype == torch.float64 and read.time_unit == unit
    np.testing.assert_allclose(read.times[1].numpy(), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(read.times[0].numpy(), [*expected[1:], expected[-1]], rtol=1e-12, atol=1e-12)
    assert capsys.readouterr().out == f"a.csv: times are {unit}\n"


@pytest.mark.parametrize(
    ("cells", "gap"),
    [
        ([f"{44256 + k / 144:.8f}" for k in range(12)], 1 / 144),  # Excel's days
        ([str(1614556800 + 600 * k) for k in range(12)], 600),  # seconds since 1970
        ([f"{2021 + k / 12:.9f}" for k in range(12)], 1 / 12),  # years
    ],
    ids=["days", "seconds", "years"],
)
def test_large_numbers_keep_their_gaps(tmp_path, capsys, cells, gap):
    text = "\n".join(["sequence,time,a", *(f"1,{cell},{k}" for k, cell in enumerate(cells))])
    read = load_sequences(write(tmp_path / "a.csv", text))
    assert read.times.tolist() == [float(cell) for cell in cells] and read.time_unit == ""
    np.testing.assert_allclose(read.times.diff().numpy(), gap, rtol=1e-5)
    assert capsys.readouterr().out == ""


def test_dates_without_pandas_name_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    path = write(tmp_path / "a.csv", "sequence,time,a\n1,2021-03-01,1\n")
    with pytest.raises(ImportError, match=r"dates as times, such as '2021-03-01' in line 2; .*'odelab\[train\]'"):
        load_sequences(path)
    assert load_sequences(write(path, "sequence,time,a\n1,0,1\n")).times.tolist() == [0]


def warnings_of(path, **how):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        data = load_sequences(path, **how)
    return data, [str(warning.message) for warning in told]


def column(tmp_path, cells, name="HR"):
    rows = "".join(f"1,{i},{cell}\n" for i, cell in enumerate(cells))
    return write(tmp_path / "a.csv", f"sequence,time,{name}\n{rows}")


@pytest.mark.parametrize(
    ("cells", "mark", "count"),
    [
        ([73, -999, 77, -999, 80], "-999", "2 times"),
        ([1.5, 2.5, -9999, 3.5], "-9999", "1 time"),
        ([0.1, -99.9, 0.3, -99.9, 0.2], "-99.9", "2 times"),
        ([36, 37, 99, 38, 99, 39], "99", "2 times"),
        ([60, 70, 80, -1, -1], "-1", "2 times"),
        ([1, 1e20, 2, 1e20], "1e+20", "2 times"),
        ([5, 6, -32768, -32768, 7], "-32768", "2 times"),
        ([-999, -999, -999], "-999", "3 times"),
    ],
)
def test_a_number_that_stands_for_missing_is_told_of_and_can_be_read_so(tmp_path, cells, mark, count):
    path = column(tmp_path, cells)
    _, told = warnings_of(path)
    assert len(told) == 1 and f"a.csv: HR holds {mark} {count}," in told[0] and f"missing={mark};" in told[0]
    data, told = warnings_of(path, missing=())
    assert not any("holds" in words for words in told) and data.mask.all()
    if set(cells) == {float(mark)}:
        with pytest.raises(ValueError, match="nothing was observed"):
            load_sequences(path, missing=float(mark))
    else:
        data, told = warnings_of(path, missing=float(mark))
        assert not told and data.mask.flatten().tolist() == [cell != float(mark) for cell in cells]


@pytest.mark.parametrize(
    "cells",
    [
        [1, -1, 1, -1],
        [-1, 0, 1],
        [0, 98, 99, 99],
        [97, 98, 99],
        [-999, -500, 20, 300],
        [0, 1, 0, 1],
        [7, 99.5],
        [73, 77],
        [73, 77, 77],
        [97, 98, 88, 97, 88],
        [5, -1, 8, 6, -1, 7],
    ],
)
def test_what_is_no_stand_in_is_not_taken_for_one(tmp_path, cells):
    data, told = warnings_of(column(tmp_path, cells))
    assert not told and data.mask.all()


def test_two_stand_ins_in_one_column_and_in_float32(tmp_path):
    _, told = warnings_of(column(tmp_path, [1, -9999, 2, 9999, 3, -9999, 9999]))
    assert "-9999 2 times" in told[0] and "holds 9999 2 times, its other values lie in [1, 3]" in told[0]
    x = np.array([0.5, -999.9, 0.7, -999.9], dtype=np.float32).reshape(1, 4, 1)
    np.savez(tmp_path / "a.npz", x=x)
    _, told = warnings_of(tmp_path / "a.npz")
    assert "a.npz: channel 0 holds -999.9 2 times" in told[0]
    data, told = warnings_of(tmp_path / "a.npz", missing=[-999.9])
    assert not told and data.mask.tolist() == [[True, False, True, False]]


def test_all_stand_ins_of_a_file_are_named_in_one_call_and_where_that_takes_a_value(tmp_path):
    text = "sequence,time,HR,smoker,age\n" + "".join(
        f"1,{i},{hr},{smoker},{age}\n"
        for i, (hr, smoker, age) in enumerate([(70, 1, 98), (-999, 99, 99), (75, 0, 100), (-999, 99, 97)])
    )
    path = write(tmp_path / "a.csv", text)
    _, told = warnings_of(path)
    assert "HR holds -999 2 times" in told[0] and "smoker holds 99 2 times" in told[0]
    assert "missing=[-999, 99];" in told[0] and told[0].endswith("missing=99 takes 99 out of age, too")
    write(path, "sequence,time,a,b\n1,0,1,5\n1,1,-999,-999\n1,2,2,7\n1,3,-999,-999\n")
    assert "missing=-999;" in warnings_of(path)[1][0] and "takes" not in warnings_of(path)[1][0]
    write(path, text)
    data, told = warnings_of(path, missing=[-999, 99])
    assert not told and data.mask.sum(1).tolist() == [[2, 2, 3]]


def test_fill_values_of_netcdf_in_float32_are_told_of(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([1, 9.969209968386869e36, 3], dtype=np.float32).reshape(1, 3, 1))
    _, told = warnings_of(tmp_path / "a.npz")
    assert "missing=9.96921e+36;" in told[0]
    data, told = warnings_of(tmp_path / "a.npz", missing=9.96921e36)
    assert not told and data.mask.sum() == 2


def test_missing_that_stands_nowhere_and_missing_that_is_no_number(tmp_path):
    path = column(tmp_path, [1, 2, 3])
    assert warnings_of(path, missing=-999)[1] == [
        "a.csv: missing=-999 stands nowhere in the file: is the number right?"
    ]
    with pytest.raises(TypeError, match="missing must be a number such as -999"):
        load_sequences(path, missing="none of these")
    assert warnings_of(path, missing=[-999999999])[1] == [
        "a.csv: missing=-999999999 stands nowhere in the file: is the number right?"
    ]
    assert not warnings_of(path, missing=math.nan)[1]  # NaN is missing anyhow


def test_channels_that_are_never_observed_or_always_the_same_are_named(tmp_path):
    text = "sequence,time,HR,lactate,gain\n1,0,70,,2\n1,1,75,,2\n2,0,80,,2\n2,1,81,,\n"
    _, told = warnings_of(write(tmp_path / "a.csv", text))
    assert len(told) == 1 and "lactate is never observed" in told[0] and "gain is 2 wherever it is observed" in told[0]
    assert "HR" not in told[0]


def test_a_comma_that_may_mark_thousands_is_told_of(tmp_path):
    path = write(tmp_path / "a.csv", "sequence;time;a;b\n1;0;950;0,125\n1;1;1,050;2\n")
    data, told = warnings_of(path)
    assert told == [
        "a.csv, line 3, a: 1,050 was read as 1.050. If the comma marks "
        "thousands, take it out of the file; if it marks decimals, all is well"
    ]
    assert data.x[0, 1, 0] == pytest.approx(1.05)
