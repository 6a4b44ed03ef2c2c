from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st
from tensorboard.summary.writer.record_writer import RecordWriter

from hw2exp.records.record_file import write_record


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_records_are_framed_as_tensorboard_frames_them(records):
    mine, theirs = BytesIO(), BytesIO()
    for record in records:
        write_record(mine, record)
        RecordWriter(theirs).write(record)
    assert mine.getvalue() == theirs.getvalue()
