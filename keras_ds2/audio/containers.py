"""What an audio file says of itself: format, rate, channels, faults, read in graph from its bytes.

The format is found from the content's first bytes; a file's name plays no part. Sources: RIFF WAVE
(Microsoft multimedia registry), FLAC (RFC 9639), Ogg (RFC 3533), Vorbis I, MPEG audio layer III
(ISO 11172-3, 13818-3), ID3v2.
"""

from typing import NamedTuple

import tensorflow as tf

UNKNOWN, WAV, FLAC, MP3, VORBIS = range(5)
FORMAT_NAMES = ("unknown", "WAV", "FLAC", "MP3", "Ogg Vorbis")
FORMATS_READ = "WAV (8, 16, 24, 32 bit or float), FLAC (8, 16, 24 bit), MP3 and Ogg Vorbis"

# WAV encodings: (format tag, bits). The position is the header's `encoding`.
WAV_ENCODINGS = ((1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64))

_GET_AGAIN = "get or record the file again"
_CONVERT = "convert it, for example to FLAC"
_OTHER_FORMATS = (  # (offset of the mark, the mark, what it is)
    (4, b"ftyp", "MP4 or M4A (AAC)"),
    (0, b"FORM", "AIFF"),
    (0, b"RF64", "RF64, the 64-bit WAV"),
    (0, b"RIFX", "big-endian WAV"),
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska"),
    (0, b"#!AMR", "AMR"),
    (0, b"caff", "Core Audio"),
    (0, b"NIST_1A", "NIST SPHERE"),
)
_LARGEST_OGG_PAGE = 27 + 255 + 255 * 255
_UNSTATED_WAV_SIZE = 0xFFFFFFFF  # written by programs that stream to a pipe
HIGHEST_RATE = 384_000  # Hz; resampling takes memory and time by the rate, however short the file
MOST_WAV_CHUNKS = 1000  # before the samples

# Layer III: by MPEG version bits (0 = 2.5, 1 = reserved, 2 = 2, 3 = 1).
_MP3_RATES = ((11025, 12000, 8000), (0, 0, 0), (22050, 24000, 16000), (44100, 48000, 32000))
_MP3_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_MP3_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)


class Header(NamedTuple):
    """What the content states; every field is a scalar tensor.

    Attributes:
        audio_format: int32, one of UNKNOWN, WAV, FLAC, MP3, VORBIS.
        sampling_rate: int32, Hz, from 1 to 384 000.
        channels: int32.
        encoding: int32, WAV: index into `WAV_ENCODINGS`; FLAC: bits per sample; otherwise 0.
        start: int64, byte at which the samples (WAV) or the stream (others) begin.
        size: int64, bytes from there.
        fault: string, empty, or what is wrong and what to do about it.
    """

    audio_format: tf.Tensor
    sampling_rate: tf.Tensor
    channels: tf.Tensor
    encoding: tf.Tensor
    start: tf.Tensor
    size: tf.Tensor
    fault: tf.Tensor


@tf.autograph.experimental.do_not_convert
def read_header(content) -> Header:
    """Reads format, sampling rate and faults from an audio file's bytes.

    Args:
        content: scalar string tensor, the whole file.

    Returns:
        `Header`. Its other fields mean nothing where `fault` is not empty.
    """
    content = tf.convert_to_tensor(content)
    start = _after_id3(content)
    mark = tf.strings.substr(content, start, 4)
    is_wav = (mark == b"RIFF") & (_text(content, start + 8, 4) == b"WAVE")
    branch = tf.where(
        is_wav,
        WAV,
        tf.where(
            mark == b"fLaC",
            FLAC,
            tf.where(
                mark == b"OggS",
                VORBIS,
                tf.where(_mp3_frame_bytes(content, start) > 0, MP3, UNKNOWN),
            ),
        ),
    )
    parsers = [_unknown, _wav, _flac, _mp3, _vorbis]
    fields = tf.switch_case(
        branch, [lambda parse=parse: tuple(parse(content, start)) for parse in parsers]
    )
    header = Header(*fields)
    rate = header.sampling_rate
    fault = _first(
        (tf.strings.length(content) == 0, f"the file is empty; {_GET_AGAIN}"),
        (header.fault != b"", header.fault),
        (
            (rate <= 0) | (rate > HIGHEST_RATE),
            _say(
                "its header states a sampling rate of {} Hz, expected 1 to "
                f"{HIGHEST_RATE} Hz; {_GET_AGAIN}",
                rate,
            ),
        ),
        (header.channels <= 0, "its header states no channels; " + _GET_AGAIN),
    )
    return header._replace(sampling_rate=tf.cast(rate, tf.int32), fault=fault)


def _unknown(content, start):
    known = [
        (_text(content, start + offset, len(mark)) == mark, f"{name} is not read; {_CONVERT}")
        for offset, mark, name in _OTHER_FORMATS
    ]
    fault = _first(
        *known,
        (True, f"not audio in a format that is read: {FORMATS_READ}; convert it to one of them"),
    )
    return _header(UNKNOWN, 0, 0, 0, start, 0, fault)


def _wav(content, start):
    length = _length(content)

    def search(position, fmt, data, size):
        name = _text(content, position, 4)
        chunk = _little(_bytes(content, position + 4, 4))
        fmt = tf.where(name == b"fmt ", position + 8, fmt)
        found = name == b"data"
        following = position + 8 + chunk + chunk % 2
        return following, fmt, tf.where(found, position + 8, data), tf.where(found, chunk, size)

    nowhere = tf.constant(-1, tf.int64)
    behind, fmt, data, stated = tf.while_loop(
        lambda position, fmt, data, size: (data < 0) & (position + 8 <= length),
        search,
        (start + 12, nowhere, nowhere, tf.constant(0, tf.int64)),
        maximum_iterations=MOST_WAV_CHUNKS + 1,
    )
    fields = _bytes(content, tf.maximum(fmt, 0), 26)
    tag = _little(fields[0:2])
    tag = tf.where(tag == 0xFFFE, _little(fields[24:26]), tag)  # the extensible form
    channels, rate = _little(fields[2:4]), _little(fields[4:8])
    bits = _little(fields[14:16])
    matches = tf.reduce_all(tf.stack([tag, bits]) == tf.constant(WAV_ENCODINGS, tf.int64), axis=1)
    present = tf.maximum(length - data, 0)
    size = tf.where(stated == _UNSTATED_WAV_SIZE, present, stated)
    fault = _first(
        (
            (data < 0) & (behind + 8 <= length),
            f"WAV with more than {MOST_WAV_CHUNKS} chunks before its samples; {_GET_AGAIN}",
        ),
        ((fmt < 0) | (data < 0), f"truncated WAV: it ends before its samples; {_GET_AGAIN}"),
        (
            ~tf.reduce_any(matches),
            _say(f"WAV of format tag {{}} with {{}} bits is not read; {_CONVERT}", tag, bits),
        ),
        (
            size > present,
            _say(
                f"truncated WAV: its header states {{}} bytes of samples, {{}} are there; "
                f"{_GET_AGAIN}",
                size,
                present,
            ),
        ),
        (size == 0, f"the WAV holds no samples; {_GET_AGAIN}"),
    )
    encoding = tf.argmax(tf.cast(matches, tf.int32))
    return _header(WAV, rate, channels, encoding, tf.maximum(data, 0), size, fault)


def _flac(content, start):
    info = _bytes(content, start, 26)
    rate = (info[18] * 2**12) | (info[19] * 16) | (info[20] // 16)
    channels = ((info[20] // 2) & 7) + 1
    bits = (((info[20] & 1) * 16) | (info[21] // 16)) + 1
    samples = ((info[21] & 15) * 2**32) | _big(info[22:26])
    fault = _first(
        (_length(content) - start < 42, f"truncated FLAC: it ends in its header; {_GET_AGAIN}"),
        (
            ~tf.reduce_any(bits == tf.constant([8, 16, 24], tf.int64)),
            _say(f"FLAC of {{}} bits is not read (8, 16 and 24 are); {_CONVERT} of 16 bits", bits),
        ),
        (
            samples == 0,
            "the FLAC's header states no samples: it is empty, or was written to a pipe; "
            f"write it again to a file, or {_GET_AGAIN}",
        ),
    )
    return _header(FLAC, rate, channels, bits, start, _length(content) - start, fault)


def _vorbis(content, start):
    length = _length(content)
    packet = start + 27 + _bytes(content, start + 26, 1)[0]
    identification = _bytes(content, packet, 16)
    channels, rate = identification[11], _little(identification[12:16])

    tail_start = tf.maximum(length - _LARGEST_OGG_PAGE, start)
    tail = tf.strings.substr(content, tail_start, _LARGEST_OGG_PAGE)
    tail = tf.concat([tf.io.decode_raw(tail, tf.uint8), tf.zeros([300], tf.uint8)], axis=0)
    marks = tf.stack([tail[i : tf.size(tail) - 4 + i] for i in range(4)], axis=1)
    pages = tf.where(tf.reduce_all(marks == tf.constant(list(b"OggS"), tf.uint8), axis=1))[:, 0]
    page = tf.reduce_max(tf.concat([pages, [tf.constant(0, tf.int64)]], axis=0))
    last = tf.ensure_shape(tf.cast(tail[page : page + 282], tf.int64), [282])
    segments = last[26]
    page_end = tail_start + page + 27 + segments + tf.reduce_sum(last[27 : 27 + segments])
    is_last = (last[5] & 4) > 0
    fault = _first(
        (
            _text(content, packet, 8) == b"OpusHead",
            f"Ogg Opus is not read (Ogg Vorbis is); {_CONVERT}",
        ),
        (
            _text(content, packet, 5) == b"\x7fFLAC",
            f"FLAC inside Ogg is not read (plain FLAC is); {_CONVERT}",
        ),
        (length - packet < 30, f"truncated Ogg: it ends in its header; {_GET_AGAIN}"),
        (_text(content, packet, 7) != b"\x01vorbis", f"Ogg without Vorbis in it; {_CONVERT}"),
        (
            (page_end > length) | ~is_last,
            f"truncated Ogg Vorbis: it stops before its last page; {_GET_AGAIN}",
        ),
        (_little(last[6:14]) == 0, f"the Ogg Vorbis holds no samples; {_GET_AGAIN}"),
    )
    return _header(VORBIS, rate, channels, 0, start, length - start, fault)


def _mp3(content, start):
    length = _length(content)
    frame = _bytes(content, start, 64)
    version, rate = (frame[1] // 8) & 3, _mp3_rate(frame)
    is_mono = frame[3] // 64 == 3
    side_information = tf.where(version == 3, tf.where(is_mono, 17, 32), tf.where(is_mono, 9, 17))
    place = start + 4 + tf.cast(side_information, tf.int64)
    name, index = _text(content, place, 4), _bytes(content, place, 16)
    flags = _big(index[4:8])
    stated = tf.where(flags & 1 > 0, _big(index[12:16]), _big(index[8:12]))
    states_size = ((name == b"Xing") | (name == b"Info")) & (flags & 2 > 0) & (stated > 0)
    end = tf.cond(states_size, lambda: start + stated, lambda: _last_mp3_frame_end(content, start))
    fault = _first(
        (end > length, f"truncated MP3: it ends within a frame, or before its end; {_GET_AGAIN}")
    )
    return _header(MP3, rate, tf.where(is_mono, 1, 2), 0, start, length - start, fault)


def _last_mp3_frame_end(content, start):
    def step(position, size):
        following = position + size
        return following, _mp3_frame_bytes(content, following)

    return tf.while_loop(
        lambda position, size: size > 0, step, (start, _mp3_frame_bytes(content, start))
    )[0]


def _mp3_rate(frame):
    rates = tf.constant([(*rates, 0) for rates in _MP3_RATES], tf.int64)
    return tf.gather_nd(rates, tf.stack([(frame[1] // 8) & 3, (frame[2] // 4) & 3]))


def _mp3_frame_bytes(content, position):
    """Bytes of the layer III frame at this position, 0 where there is none."""
    frame = _bytes(content, position, 4)
    version = (frame[1] // 8) & 3
    kbps = tf.constant([_MP3_KBPS_2, _MP3_KBPS_2, _MP3_KBPS_2, _MP3_KBPS_1], tf.int64)
    kbps = tf.gather_nd(kbps, tf.stack([version, frame[2] // 16]))
    rate = _mp3_rate(frame)
    is_frame = (frame[0] == 0xFF) & (frame[1] & 0xE6 == 0xE2) & (kbps > 0) & (rate > 0)
    slots = tf.where(version == 3, tf.constant(144, tf.int64), tf.constant(72, tf.int64))
    size = slots * kbps * 1000 // tf.maximum(rate, 1) + ((frame[2] // 2) & 1)
    return tf.where(is_frame, size, tf.zeros_like(size))


def _after_id3(content):
    head = _bytes(content, 0, 10)
    size = (head[6] * 2**21) | (head[7] * 2**14) | (head[8] * 128) | head[9]
    size += tf.where(head[5] & 0x10 > 0, tf.constant(20, tf.int64), tf.constant(10, tf.int64))
    start = tf.where(_text(content, 0, 3) == b"ID3", size, tf.zeros_like(size))
    return tf.minimum(start, _length(content))


def _header(audio_format, sampling_rate, channels, encoding, start, size, fault):
    audio_format, channels, encoding = (
        tf.cast(value, tf.int32) for value in (audio_format, channels, encoding)
    )
    # A rate may be stated that int32 does not hold: `read_header` refuses it.
    sampling_rate, start, size = (
        tf.cast(value, tf.int64) for value in (sampling_rate, start, size)
    )
    return Header(audio_format, sampling_rate, channels, encoding, start, size, fault)


def _first(*cases):
    """The text of the first case that holds, or an empty string."""
    text = tf.constant(b"")
    for condition, case in reversed(cases):
        text = tf.where(condition, case, text)
    return text


def _say(template, *values):
    parts = template.split("{}")
    pieces = [parts[0]]
    for value, part in zip(values, parts[1:], strict=True):
        pieces += [tf.strings.as_string(value), part]
    return tf.strings.join(pieces)


def _length(content):
    return tf.cast(tf.strings.length(content), tf.int64)


def _text(content, start, count):
    return tf.strings.substr(content, tf.minimum(tf.cast(start, tf.int64), _length(content)), count)


def _bytes(content, start, count):
    """`count` bytes as int64; zeros stand where the content is over."""
    values = tf.io.decode_raw(_text(content, start, count), tf.uint8)
    values = tf.pad(values, [[0, count - tf.size(values)]])
    return tf.cast(tf.ensure_shape(values, [count]), tf.int64)


def _little(values):
    return tf.reduce_sum(values * tf.constant([256**i for i in range(values.shape[0])], tf.int64))


def _big(values):
    return _little(tf.reverse(values, [0]))
