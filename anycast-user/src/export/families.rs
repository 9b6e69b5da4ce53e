//! How metric families are written.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// Writes metric families; the encoder adds the prefix, the unit and `_total`.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

/// A sample's labels, keys and values.
pub(super) type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

impl Families<'_> {
    pub(super) fn counter<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        let (encoder, kind) = (&mut self.0, MetricType::Counter);
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        samples.into_iter().try_for_each(|(labels, count)| {
            labelled(&mut family, &labels, |sample| {
                sample.encode_counter::<NoLabelSet, _, u64>(&count, None)
            })
        })
    }

    pub(super) fn histogram<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: &Unit,
        samples: impl IntoIterator<Item = (Labels<'l, N>, (Vec<(f64, u64)>, f64, u64))>,
    ) -> fmt::Result {
        let (encoder, kind) = (&mut self.0, MetricType::Histogram);
        let mut family = encoder.encode_descriptor(name, help, Some(unit), kind)?;
        samples.into_iter().try_for_each(|(labels, (buckets, sum, count))| {
            labelled(&mut family, &labels, |sample| {
                sample.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
            })
        })
    }

    pub(super) fn gauge<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (Labels<'l, N>, impl EncodeGaugeValue)>,
    ) -> fmt::Result {
        let (encoder, kind) = (&mut self.0, MetricType::Gauge);
        let mut family = encoder.encode_descriptor(name, help, unit, kind)?;
        samples
            .into_iter()
            .try_for_each(|(labels, value)| labelled(&mut family, &labels, |sample| sample.encode_gauge(&value)))
    }
}

/// Encodes one sample, without the `{}` that the encoder writes for an empty set of labels.
fn labelled<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_, N>,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if N == 0 {
        encode(family)
    } else {
        encode(&mut family.encode_family(labels)?)
    }
}
