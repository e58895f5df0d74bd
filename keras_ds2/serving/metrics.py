"""What a server counts, for Prometheus: no audio, no text."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The figures of one server, each with its own sentence at `/metrics`."""

    def __init__(self):
        self.registry = CollectorRegistry()

        def made(kind, name, text, **options):
            return kind(f"keras_ds2_{name}", text, registry=self.registry, **options)

        self.sessions = made(Gauge, "sessions", "Streams that are open, those of files among them.")
        self.ended = made(
            Counter, "sessions_ended", "Streams by the code they closed with.", labelnames=["code"]
        )
        self.files = made(
            Counter, "files", "Files by the HTTP status they were answered.", labelnames=["status"]
        )
        self.audio = made(Counter, "audio_seconds", "Audio that was taken in.")
        self.batch_size = made(
            Histogram, "batch_size", "Streams that were computed together.", buckets=_SIZES
        )
        self.batch_seconds = made(
            Histogram, "batch_seconds", "What computing a batch took.", buckets=_SECONDS
        )
        self.final_delay = made(
            Histogram,
            "final_delay_seconds",
            "From a client's end to the final text.",
            buckets=_SECONDS,
        )

    def observe_batch(self, size: int, seconds: float) -> None:
        """Counts a batch: what `BatchDispatch` calls."""
        self.batch_size.observe(size)
        self.batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)
