"""The child process in which eSpeak NG lives: requests on standard input, PCM on standard output.

`synthesis.py` starts this file by its path (never imported, so that nothing of the package loads
with it) in the folder of the eSpeak NG data: `python -I -S espeak_process.py LIBRARY`. It uses the
standard library alone. Answers begin with one line of JSON; the first tells the sampling rate. A
request is one line of JSON: `{"text", "voice", "words_per_minute", "pitch", "pitch_range"}`; its
answer is `{"samples": n}` followed by `n` signed 16-bit samples in the machine's byte order, or
`{"error": "..."}`. The end of standard input ends the process.
"""

import ctypes
import json
import signal
import sys

# Numbers of speak_lib.h, eSpeak NG's public header.
_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: hand samples to the callback before espeak_Synth returns
_DONT_EXIT = 0x8000  # espeak_Initialize: return an error instead of ending the process
_UTF8 = 1  # espeak_Synth flag
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
# At eSpeak NG's own volume of 100, 28 of its 104 variants reach full scale (a sentence in en-us at
# three pitches); at 50 three do: Jacky, antonio and iven.
_SAFE_VOLUME = 50

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def _answer(**header) -> None:
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")


def _main(library_path: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    library = ctypes.CDLL(library_path)
    sampling_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, b".", _DONT_EXIT)
    if sampling_rate <= 0:
        _answer(error=f"eSpeak NG did not start (espeak_Initialize gave {sampling_rate})")
        return
    pieces: list[bytes] = []

    @_CALLBACK
    def keep(samples, count, _events):
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, count * 2))
        return 0

    library.espeak_SetSynthCallback(keep)
    # Else seeded from the process's number: breath and jitter would differ from run to run.
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    _answer(sampling_rate=sampling_rate)
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        pieces.clear()
        status = library.espeak_SetVoiceByName(request["voice"].encode())
        if status == 0:
            library.espeak_SetParameter(_RATE, request["words_per_minute"], 0)
            library.espeak_SetParameter(_VOLUME, _SAFE_VOLUME, 0)
            library.espeak_SetParameter(_PITCH, request["pitch"], 0)
            library.espeak_SetParameter(_RANGE, request["pitch_range"], 0)
            text = request["text"].encode()
            size = ctypes.c_size_t(len(text) + 1)
            status = library.espeak_Synth(ctypes.c_char_p(text), size, 0, 0, 0, _UTF8, None, None)
        if status == 0:
            pcm = b"".join(pieces)
            _answer(samples=len(pcm) // 2)
            sys.stdout.buffer.write(pcm)
        else:
            _answer(error=f"eSpeak NG refused the request (status {status})")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main(sys.argv[1])
