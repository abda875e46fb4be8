"""OpenTelemetry around a served model: how long it takes, how much of it is untrusted, and whether its inverse drifts."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import tensorflow as tf

from inntf._version import __version__
from inntf.core.errors import explain
from inntf.serving.load import ServedModel

_MEMORY = 0.99  # of the running mean of the drift, a sample


class ObservedModel(ServedModel):
    """A served model whose calls are measured; made by `observe`.

    Args:
        served: of `inntf.serving.load`.
        meter: of OpenTelemetry.
        tracer: of OpenTelemetry.

    Source: inntf.

    Example:
        >>> issubclass(ObservedModel, ServedModel)  # methods and shapes are those of what it wraps
        True
    """

    def __init__(self, served: ServedModel, meter: Any, tracer: Any):
        self.__dict__.update(served.__dict__)
        self._tracer = tracer
        self._names = {"inntf.model": str(self.card.get("name", self.path.name)), "inntf.version": self.version}
        self._duration = meter.create_histogram("inntf.request.duration", "s", "Time of a call.")
        self._samples = meter.create_counter("inntf.samples", "{sample}", "Samples that were asked for.")
        self._untrusted = meter.create_counter("inntf.samples.untrusted", "{sample}", "Scored samples that are not trusted.")
        self._errors = meter.create_histogram("inntf.reconstruction_error", "1", "Error of the inverse over the card's limit.")
        usual = (self.card.get("stability") or {}).get("reconstruction_error") or {}
        self._usual, self._drift = float(usual.get("median") or 0.0), 0.0
        if self._usual > 0:
            meter.create_observable_gauge(
                "inntf.reconstruction_error.drift",
                [self._observed_drift],
                "1",
                "Running mean of log10 of the error over the median at the export.",
            )

    def _call(self, name: str, **values: Any) -> dict[str, tf.Tensor]:
        labels = {**self._names, "inntf.signature": name}
        with self._tracer.start_as_current_span(f"inntf.{name}", attributes=labels) as span:
            begin = time.perf_counter()
            found = super()._call(name, **values)
            if tf.executing_eagerly():
                arrays = {key: value.numpy() for key, value in found.items()}
                self._duration.record(time.perf_counter() - begin, labels)
                leading = 2 if name == "sample" and values.get("condition") is not None else 1  # so many for each condition
                rows = math.prod(next(iter(arrays.values())).shape[:leading])
                self._samples.add(rows, labels)
                span.set_attribute("inntf.samples", rows)
                if name == "score":
                    self._scored(arrays, span)
        return found

    def _scored(self, found: dict[str, np.ndarray], span: Any) -> None:
        untrusted = int(np.sum(~found["trusted"]))
        self._untrusted.add(untrusted, self._names)
        span.set_attribute("inntf.samples.untrusted", untrusted)
        limit = self.card.get("error_limit") or math.inf
        for error in found["reconstruction_error"].astype(np.float64):
            self._errors.record(float(error) / limit if math.isfinite(error) else math.inf, self._names)
            if self._usual > 0 and math.isfinite(error):
                far = math.log10(
                    max(float(error), 1e-3 * self._usual) / self._usual
                )  # an error of zero is no drift to minus infinity
                self._drift = _MEMORY * self._drift + (1 - _MEMORY) * far

    def _observed_drift(self, options: Any) -> list[Any]:
        from opentelemetry.metrics import Observation

        del options
        return [Observation(self._drift, self._names)]


def observe(served: ServedModel, *, meter: Any = None, tracer: Any = None) -> ObservedModel:
    """The same model, whose calls become spans and metrics of OpenTelemetry.

    Spans are `inntf.SIGNATURE`, with model, version and number of samples.  Metrics, with model and version:

        inntf.request.duration             seconds of a call, by signature
        inntf.samples                      samples, by signature
        inntf.samples.untrusted            of those that were scored
        inntf.reconstruction_error         of those that were scored, over the `error_limit` of the card
        inntf.reconstruction_error.drift   running mean of log10 of that error over its median at the export: 1 is ten times

    The last three come from calls of `score`, the drift for a model that was exported with a `batch`.  Calls within a
    `tf.function` are not measured.

    Args:
        served: of `inntf.serving.load`.
        meter: of OpenTelemetry; by default that of the global provider, which the application sets up.
        tracer: likewise.

    Returns:
        A `ServedModel`.

    Raises:
        TypeError: for another object; ImportError: without `opentelemetry-api`: `pip install inntf[telemetry]`.

    Source: OpenTelemetry, metrics and traces API; inntf.

    Example:
        >>> import tempfile
        >>> from inntf.models import real_nvp
        >>> from inntf.serving import export, load
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model = observe(load(export(real_nvp(event_shape=2, depth=1), folder)))
        >>> model.score([[0.0, 0.0]]).trusted.numpy().tolist()
        [True]
    """
    if not isinstance(served, ServedModel):
        remedy = "Pass what inntf.serving.load returns."
        raise TypeError(explain("observe", received=type(served).__name__, expected="a ServedModel", remedy=remedy))
    try:
        from opentelemetry import metrics, trace
    except ImportError as error:
        raise ImportError("observe: opentelemetry-api is missing. pip install inntf[telemetry]") from error
    return ObservedModel(
        served, meter or metrics.get_meter("inntf", __version__), tracer or trace.get_tracer("inntf", __version__)
    )
