"""Write the tables of words of a run whose chunks, captions and scores are stored."""

from collections.abc import Iterator, Sequence

from engine.evaluation import chunks, scoring
from engine.evaluation.chunks import Work
from engine.evaluation.run import RunInProgress
from engine.evaluation.word_judgement import judge_of
from engine.evaluation.words import ChunkWords, Judging, WordsStage
from engine.store import tables


def write(run: RunInProgress, work: Work, numbers: Sequence[int]) -> None:
    """Write `words`, `samples` and the tables of the alarm, and its coefficients into the record."""
    labels = work.settings.evidence.labels if work.settings.evidence else ()
    run.write_rows("samples", chunks.parts_of(work, numbers, "samples"), chunks.rows_of(work, numbers, "samples"))
    with run.watch.measure("words of the run"), scoring.scratch(run) as folder:
        stage = WordsStage(folder, _chunks(work, numbers), Judging(labels, judge_of(labels)), {})
        run.write_rows("words", stage.rows(), chunks.rows_of(work, numbers, "words"))
    run.write("alarms", tables.table_of("alarms", stage.alarms.quality))
    run.write("alarm_bins", tables.table_of("alarm_bins", stage.alarms.bins))
    run.metadata["alarm"] = stage.alarms.as_json()


def _chunks(work: Work, numbers: Sequence[int]) -> Iterator[ChunkWords]:
    names = ("words", "images", "samples", "hypotheses")
    for number in numbers:
        yield ChunkWords(*(next(chunks.parts_of(work, [number], name)) for name in names))
