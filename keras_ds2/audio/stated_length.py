"""How long a file says it is, from its bytes alone: known before anything is decoded.

A few bytes of FLAC, MP3 or Vorbis can unpack to gigabytes of silence. These figures are the most
that a decoder would give, so that whoever reads files of strangers can refuse them in time. Formats
as in `containers.py`.
"""

import dataclasses
import re

from keras_ds2.audio.containers import MOST_WAV_CHUNKS

_ID3_HEAD = 10
_MP3_RATES = {0: (11025, 12000, 8000), 2: (22050, 24000, 16000), 3: (44100, 48000, 32000)}
_MP3_KBPS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_SECOND = bytes([0xE2, 0xE3, 0xF2, 0xF3, 0xFA, 0xFB])  # layer III of a version that there is
_MP3_THIRD = bytes(byte for byte in range(256) if 0 < byte >> 4 < 15 and byte >> 2 & 3 < 3)
_MP3_FRAME = re.compile(
    b"\xff[%b][%b]." % (re.escape(_MP3_SECOND), re.escape(_MP3_THIRD)), re.DOTALL
)
_MP3_WINDOW = 2**18  # bytes searched at a time: Python's other threads wait for a search to end


@dataclasses.dataclass(frozen=True)
class StatedLength:
    """The most that a file can hold.

    Attributes:
        samples: int, of one channel.
        channels: int.
        sampling_rate: int, Hz; 0 where it states none.
    """

    samples: int
    channels: int
    sampling_rate: int

    @property
    def seconds(self) -> float:
        """Length; infinite where samples come without a rate."""
        if not self.samples:
            return 0.0
        return self.samples / self.sampling_rate if self.sampling_rate else float("inf")


def stated_length(content: bytes) -> StatedLength:
    """Reads the length from a file's bytes.

    Args:
        content: of a WAV, FLAC, MP3 or Ogg Vorbis file, whole or damaged.

    Returns:
        `StatedLength`; of 0 samples where the content is none of these, or damaged so that its
        reader refuses it: nothing will be decoded then.
    """
    content = content[id3_size(content) :]
    if content[:4] == b"RIFF":
        return _wav(content)
    if content[:4] == b"fLaC":
        return _flac(content)
    if content[:4] == b"OggS":
        return _vorbis(content)
    return _mp3(content)


def id3_size(content: bytes) -> int:
    """Bytes of the ID3v2 tag that a file begins with; 0 where there is none."""
    head = content[:_ID3_HEAD]
    if head[:3] != b"ID3" or len(head) < _ID3_HEAD:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return size + (20 if head[5] & 0x10 else 10)


def _little(content, start, count):
    return int.from_bytes(content[start : start + count], "little")


def _wav(content):
    position, layout = 12, None
    for _ in range(MOST_WAV_CHUNKS + 1):
        if position + 8 > len(content):
            break
        name, size = content[position : position + 4], _little(content, position + 4, 4)
        if name == b"fmt ":
            fields = content[position + 8 : position + 24]
            layout = [_little(fields, *place) for place in ((2, 2), (4, 4), (14, 2))]
        if name == b"data":
            if layout is None or not layout[0] or not layout[2] // 8:
                break
            channels, rate, bits = layout
            size = min(size, len(content) - position - 8)
            return StatedLength(size // (channels * (bits // 8)), channels, rate)
        position += 8 + size + size % 2
    return StatedLength(0, 0, 0)


def _flac(content):
    if len(content) < 26:
        return StatedLength(0, 0, 0)
    packed = int.from_bytes(content[18:26], "big")
    return StatedLength(packed & (2**36 - 1), (packed >> 41 & 7) + 1, packed >> 44)


def _vorbis(content):
    """Every stream's last position counts: files may be chained, and each is decoded."""
    total = last = channels = rate = 0
    position = content.find(b"OggS")
    while 0 <= position <= len(content) - 27:
        segments = content[position + 26]
        table = content[position + 27 : position + 27 + segments]
        packet = position + 27 + segments
        if content[position + 5] & 2:  # a stream begins
            total, last = total + last, 0
            if content[packet : packet + 7] == b"\x01vorbis":
                channels = max(channels, *content[packet + 11 : packet + 12], 0)
                found = _little(content, packet + 12, 4)
                rate = min(rate, found) if rate else found
        granule = _little(content, position + 6, 8)
        if granule < 2**63:
            last = max(last, granule)
        position = content.find(b"OggS", max(packet + sum(table), position + 4))
    if not channels:  # no Vorbis in it
        return StatedLength(0, 0, 0)
    return StatedLength(total + last, channels, rate)


def _mp3(content):
    """Every frame counts, behind damaged bytes too, since the decoder looks for the next one."""
    samples = channels = rate = 0
    found = _next_mp3_frame(content, 0)
    while found is not None:
        _, second, third, fourth = content[found : found + 4]
        size, found_samples, found_rate = _MP3_FRAMES[second, third]
        samples += found_samples
        rate = min(rate or found_rate, found_rate)
        channels = max(channels, 1 if fourth >> 6 == 3 else 2)
        found = _next_mp3_frame(content, found + size)
    return StatedLength(samples, channels, rate)


def _next_mp3_frame(content, position):
    while position + 4 <= len(content):
        found = _MP3_FRAME.search(content, position, position + _MP3_WINDOW)
        if found is not None:
            return found.start()
        position += _MP3_WINDOW - 3
    return None


def _mp3_frame(second, third):
    """Size in bytes, samples and rate of a frame with these bytes in its head."""
    version = second >> 3 & 3
    is_first = version == 3
    rate = _MP3_RATES[version][third >> 2 & 3]
    size = (144 if is_first else 72) * _MP3_KBPS[is_first][third >> 4] * 1000 // rate
    return size + (third >> 1 & 1), 1152 if is_first else 576, rate


_MP3_FRAMES = {
    (second, third): _mp3_frame(second, third) for second in _MP3_SECOND for third in _MP3_THIRD
}
