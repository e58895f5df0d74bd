"""Scores: word and character error rates of a corpus, and their report."""

from keras_ds2.evaluation.metrics import EditCounts as EditCounts
from keras_ds2.evaluation.metrics import ErrorCounter as ErrorCounter
from keras_ds2.evaluation.metrics import Score as Score
from keras_ds2.evaluation.metrics import score as score
from keras_ds2.evaluation.report import UtteranceErrors as UtteranceErrors
from keras_ds2.evaluation.report import group_scores as group_scores
from keras_ds2.evaluation.report import group_table as group_table
from keras_ds2.evaluation.report import report_dict as report_dict
from keras_ds2.evaluation.report import report_table as report_table
from keras_ds2.evaluation.report import worst_utterances as worst_utterances
