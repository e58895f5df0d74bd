"""Audio files made in memory: WAV of every encoding, and an MP3 (no encoder need be installed)."""

import base64
import struct
import zlib

import numpy as np
import tensorflow_io as tfio

# 0.25 s of a 500 Hz tone of amplitude 0.5 at 16 kHz, mono, LAME, variable bit rate.
_TONE_MP3 = """
eNrtk21MU1cYx89t77X1rqPAeLlAgUvnsCDUKwxnxzZuAZG5K6ITUxGw4Bd1gyEwbdDBhYmIA1ZE4YJRbl1FWExwvmRz
wVikyyoSJdQxnWQWhy/FzXTWGVHg7KLBhA/7sI9L9vvy/M+T33lOcnIOdO+xgv/5R6Cbs4KwJUXHE3RS5JWhG9/++d1w
wVtBdXa7fXD56/LfTowmGTPnt6B5yDb/pLNRZvMJyuVyQyApr26DjlCvm1MJsDcYsuUwSQbZUHh1d7ktFDplEMgFZNNH
zAqpQiXfEaCmOzOBNhgMpbRgpIWEEADoScBauFRKRaAYoAElYTdSChAHKRHtg4NAX0Cqgf84GwU6WamktApXd91mcUuP
DnTLRA7MYpkDol59CpDeNXO6CWSbwpjl0ofVeSSvx1BNjsoLN45cDtA7LtxMavBNFO/cXb+przFZV4GnVvl2jO7rjR6P
0XzVulpp1Vlb32O4w+H15UrzGlt3ziJ18+qStRcjv5zKWUg0f9DpX9e0NxJCuNC/KXvp+/NOZzYLi6eRQ537VJy5YZ+q
eXXqub9+khcBWQKcgu5N1qHYL0qHNrR9z2cc2BF/oTUj/3ri5srKdvz4wcKyjfq+hv1x99efsi23UJslZxjtiqWx6kUU
lSEw3Tn5svP1DM9F+S4groBwfPKNOvvtzpToYYuVCa0dqhxsiQvtOz1+/4JsDGMxTwAUWdHe0iuE/JGBALJRhclw99ft
zyaPNe/58Z7HPbs6/6NLwKsSzKVwJiIGrz4SM4fULACNEwN5ALVIgVfxQV88v2XtrflcDJkKYW9J0aXwirFc6FZZB+cS
BU09wwC50+q0tyen5rcvdq48D6cGfk48vON6bsPDty/W/OKtqVJGnK0tW1BT/Vh+E8Jn6Z8PpzxMfkAEmjZyRSboJqz3
EFXa77Q4hzVzqxwdHHBAbl2ujktxHBAudkJZP+38MeModmXWJspQOqU/iMrv9zfGMBI6lvGb5VDZjI8rmpE65pULE6au
ntRuWUeeiZp2oJQrPTKyngBGIog0cAoynvOgwzg//SYugFzMyaG7w+ou/tivb7LtyX7gzXmTmZwfT3FyGoXPefxD/bVv
bvjF5/WwD1BnxXKRbSCkXfTEKxztwEnHuzLUGNwvLfRmJKxIJi4M6JcYPRmJHkt4sRu67rrbLpdrJkZYNeJkWxENawYV
rB/Swu5FAlge8KioETxC7MgSxCQV30E6xOGidHEVjTGiAYxBWcl5+JLxmeDcIgJZFgUI02hpCSem0YiOJaAY6MFRZfYp
oAPma0tjQTowR31YLHwrkx4QhyyiQzfgFME12raa02oGA28NF3vmFoSYxtSrPPJKPk07+uaK18yob84KZXJN2DkMwye0
2vonvGmlK13fZfVRLeD5nqStGI7vTNfzXUKN53u0G65pl32m1S7bSfJdLt503sIfm3ge+S6bSvVJFYYFW4S8y8dnu5DL
XphHZz35fwt066w2Jd9k2nCFQjL+G/wNBCBMaA==
"""


def tone(frequency, sampling_rate, seconds, amplitude=0.5):
    """A sine, float64 `(samples,)`."""
    time = np.arange(round(seconds * sampling_rate)) / sampling_rate
    return amplitude * np.sin(2 * np.pi * frequency * time)


def tone_mp3():
    """The bytes of the MP3 tone."""
    return zlib.decompress(base64.b64decode(_TONE_MP3))


def silent_mp3(frames, xing=False):
    """Silent MPEG-1 frames at 128 kbit/s, 44.1 kHz, mono: 417 bytes and 1152 samples each."""
    frame = bytes([0xFF, 0xFB, 0x90, 0xC4]) + bytes(413)
    if not xing:
        return frame * frames
    tag = b"Info" + struct.pack(">III", 3, frames, 417 * (frames + 1))
    return frame[:21] + tag + frame[21 + len(tag) :] + frame * frames


def wav(samples, sampling_rate, bits=16, is_float=False, extensible=False, before=b"", size=None):
    """A WAV file's bytes.

    Args:
        samples: array `(samples,)` or `(samples, channels)` in [-1, 1].
        sampling_rate: int, Hz.
        bits: int, of one sample.
        is_float: bool, format tag 3 in place of 1.
        extensible: bool, the longer `fmt ` chunk.
        before: bytes, chunks put before the samples.
        size: int, what the header says of the samples' bytes; None for the truth.
    """
    samples = np.asarray(samples, np.float64)
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    data = _packed(samples, bits, is_float)
    width = channels * bits // 8
    tag = 3 if is_float else 1
    fields = (channels, sampling_rate, sampling_rate * width, width, bits)
    fmt = struct.pack("<HHIIHH", 0xFFFE if extensible else tag, *fields)
    if extensible:
        fmt += struct.pack("<HHIH", 22, bits, 0, tag)
        fmt += bytes.fromhex("000000001000800000aa00389b71")
    body = b"WAVE" + chunk(b"fmt ", fmt) + before
    body += b"data" + struct.pack("<I", len(data) if size is None else size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(name, content):
    """A RIFF chunk, padded to an even length."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _packed(samples, bits, is_float):
    if is_float:
        return samples.astype(f"<f{bits // 8}").tobytes()
    full_scale = 2.0 ** (bits - 1)
    values = np.clip(np.round(samples * full_scale), -full_scale, full_scale - 1).astype("<i8")
    if bits == 8:
        return (values + 128).astype("u1").tobytes()
    return values.view("u1").reshape(-1, 8)[:, : bits // 8].tobytes()


def with_id3(content, size=300):
    """The content behind an ID3v2 tag of `size` bytes."""
    head = b"ID3\x04\x00\x00" + bytes([0, 0, size // 128, size % 128])
    return head + bytes(size) + content


def vorbis(samples, sampling_rate):
    """An Ogg Vorbis file; of one channel two, for its encoder refuses one at 16 kHz."""
    samples = np.asarray(samples, np.float32)
    if samples.ndim == 1:
        samples = np.stack([samples, samples], axis=1)
    return tfio.audio.encode_vorbis(samples, sampling_rate).numpy()
