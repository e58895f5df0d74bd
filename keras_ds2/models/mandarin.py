"""The Mandarin model's numbers: the English ones, with a softmax over some 6000 symbols.

Source: Amodei et al., 2015, arXiv:1512.02595: two 2-D convolutions and seven bidirectional ReLU
recurrences of about 80 million parameters. The number of symbols depends on the transcripts: give
`vocabulary_size=len(alphabet)`.
"""

from keras_ds2.models import english

NUMBERS = {**english.NUMBERS, "vocabulary_size": 6000}
