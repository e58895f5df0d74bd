"""Labels: alphabets, and texts written with them alone."""

from keras_ds2.text.alphabet import BLANK as BLANK
from keras_ds2.text.alphabet import Alphabet as Alphabet
from keras_ds2.text.alphabet import UnknownSymbolError as UnknownSymbolError
from keras_ds2.text.alphabet import describe_symbol as describe_symbol
from keras_ds2.text.collection import collect_alphabet as collect_alphabet
from keras_ds2.text.collection import count_characters as count_characters
from keras_ds2.text.collection import rare_characters as rare_characters
from keras_ds2.text.english import english_alphabet as english_alphabet
from keras_ds2.text.english import normalize_english as normalize_english
from keras_ds2.text.mandarin import mandarin_alphabet as mandarin_alphabet
from keras_ds2.text.mandarin import normalize_mandarin as normalize_mandarin
from keras_ds2.text.mandarin import rare_mandarin_characters as rare_mandarin_characters
from keras_ds2.text.normalization import normalizer as normalizer
