"""Batches: manifests of utterances, and the datasets made of them."""

from keras_ds2.data.manifest import ManifestError as ManifestError
from keras_ds2.data.manifest import Utterance as Utterance
from keras_ds2.data.manifest import read_manifest as read_manifest
from keras_ds2.data.manifest import write_manifest as write_manifest
