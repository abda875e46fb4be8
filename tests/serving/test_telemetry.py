"""What OpenTelemetry hears of a served model."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from inntf.models import real_nvp
from inntf.serving import export, load, observe

metrics_sdk = pytest.importorskip("opentelemetry.sdk.metrics")
trace_sdk = pytest.importorskip("opentelemetry.sdk.trace")


@pytest.fixture
def heard(tmp_path):
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    reader, spans = InMemoryMetricReader(), InMemorySpanExporter()
    provider = trace_sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    flow = real_nvp(event_shape=3, depth=2, hidden=(8,))
    for v in flow.block.trainable_variables:
        v.assign(v + 0.1 * np.random.default_rng(1).normal(size=v.shape))
    served = load(export(flow, tmp_path, name="density", batch=x))
    meter = metrics_sdk.MeterProvider(metric_readers=[reader]).get_meter("test")
    return observe(served, meter=meter, tracer=provider.get_tracer("test")), served, x, reader, spans


def points(reader):
    data = reader.get_metrics_data()
    every = [m for r in data.resource_metrics for scope in r.scope_metrics for m in scope.metrics]
    return {metric.name: list(metric.data.data_points) for metric in every}


def test_answers_are_the_models_and_calls_are_counted_and_timed(heard):
    model, served, x, reader, spans = heard
    np.testing.assert_array_equal(model.log_prob(x), served.log_prob(x))
    model.sample(5, seed=1)
    found = points(reader)
    assert {(p.attributes["inntf.signature"], p.value) for p in found["inntf.samples"]} == {("log_prob", 64), ("sample", 5)}
    assert all(p.count == 1 and 0 < p.sum < 60 for p in found["inntf.request.duration"])
    assert [span.name for span in spans.get_finished_spans()] == ["inntf.log_prob", "inntf.sample"]
    assert spans.get_finished_spans()[0].attributes["inntf.model"] == "density"


def test_scores_tell_what_is_untrusted_and_how_the_inverse_drifts(heard):
    model, _, x, reader, spans = heard
    assert model.score(x).trusted.numpy().all()
    before = points(reader)
    assert before["inntf.samples.untrusted"][0].value == 0 and abs(before["inntf.reconstruction_error.drift"][0].value) < 0.5
    assert before["inntf.reconstruction_error"][0].count == 64 and before["inntf.reconstruction_error"][0].max < 1e-2
    far = x * np.float32(3e4)
    untrusted = int(np.sum(~model.score(far).trusted.numpy()))
    after = points(reader)
    assert after["inntf.samples.untrusted"][0].value == untrusted > 0
    assert after["inntf.reconstruction_error.drift"][0].value > before["inntf.reconstruction_error.drift"][0].value + 0.5
    assert spans.get_finished_spans()[-1].attributes["inntf.samples.untrusted"] == untrusted


def test_samples_for_several_conditions_are_all_counted(tmp_path):
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    flow = real_nvp(event_shape=2, depth=1, hidden=(4,), condition_shape=3)
    reader = InMemoryMetricReader()
    meter = metrics_sdk.MeterProvider(metric_readers=[reader]).get_meter("test")
    observe(load(export(flow, tmp_path)), meter=meter).sample(3, condition=np.zeros([64, 3]))
    assert points(reader)["inntf.samples"][0].value == 192


def test_refused_requests_end_their_span_as_errors_and_graphs_pass_through(heard):
    model, served, x, _, spans = heard
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.log_prob(x * np.nan)
    assert not spans.get_finished_spans()[-1].status.is_ok
    compiled = tf.function(lambda value: model.log_prob(value))
    np.testing.assert_allclose(compiled(tf.constant(x)), served.log_prob(x), rtol=1e-6)
    with pytest.raises(TypeError, match="expected a ServedModel"):
        observe(lambda: None)
