//! A replay of samples: what a daemon would have done, by the code that it runs.

use std::collections::HashMap;

use super::{
    Explained, Happened, LineError, SERVICES_MAX, Sample, Summary,
    layout::{Layout, LinkPlan},
    link::Link,
};
use crate::{clock::MonotonicTime, config::Config, event::Names};

/// A replay under way. Pure: samples in, events out. A link has an engine of its own, whose ticks are the times of its
/// samples; links go down and up as soon as that is ordered.
#[derive(Debug)]
pub struct Replay {
    layout: Layout,
    links: Vec<Link>,
    /// The links of the configuration that the recording has services of, by their index there.
    by_plan: HashMap<usize, usize>,
    by_service: HashMap<String, Place>,
    /// In the order of the recording: the next sample is most often that of the service after the last one.
    order: Vec<(String, Place)>,
    next: usize,
    span: Option<(MonotonicTime, MonotonicTime)>,
    samples: u64,
    happened: Vec<Happened>,
}

/// Where a service is: its link, and its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    link: usize,
    service: usize,
}

impl Replay {
    /// Judges as a daemon with `config` would, an armed one unless that says otherwise. It needs no link.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            layout: Layout::new(config),
            links: Vec::new(),
            by_plan: HashMap::new(),
            by_service: HashMap::new(),
            order: Vec::new(),
            next: 0,
            span: None,
            samples: 0,
            happened: Vec::new(),
        }
    }

    /// Takes the next sample. Samples of one link and time are judged together, when the next time has come.
    ///
    /// An error when time runs backwards on its link, or there are too many services. Counters that run backwards are none:
    /// the service is watched from zero.
    pub fn take(&mut self, sample: &Sample<'_>) -> Result<(), LineError> {
        let at = sample.at;
        let place = self.place(sample)?;
        self.judge_before(at);
        let Some(link) = self.links.get_mut(place.link) else {
            return Ok(());
        };
        if at < link.latest() {
            return Err(LineError::TimeBackwards {
                service: sample.service.clone().into_owned(),
                link: link.name().to_owned(),
                t_ms: at.as_millis_f64(),
                before_ms: link.latest().as_millis_f64(),
            });
        }
        link.take(place.service, sample);
        self.samples += 1;
        let (first, last) = self.span.get_or_insert((at, at));
        (*first, *last) = ((*first).min(at), (*last).max(at));
        Ok(())
    }

    /// Judges the samples that wait for others of their time. To be called at the end.
    pub fn finish(&mut self) {
        for link in &mut self.links {
            link.tick(&mut self.happened);
        }
    }

    /// Whether anything has happened since [`Replay::take_news`].
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.happened.is_empty()
    }

    /// What has happened since this was asked last.
    #[must_use]
    pub fn take_news(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.happened)
    }

    /// The names behind the indices of what happened on a link.
    #[must_use]
    pub fn names(&self, link: usize) -> Option<&Names> {
        self.links.get(link).map(Link::names)
    }

    /// Why each service is judged as it is now, in the order of the recording.
    pub fn explain(&self) -> impl Iterator<Item = Explained> {
        self.order.iter().filter_map(|(name, place)| {
            let link = self.links.get(place.link)?;
            Some(Explained {
                service: name.clone(),
                link: link.name().to_owned(),
                at: link.latest(),
                explanation: link.explanation(place.service)?,
                acts: self.layout.settings().armed,
            })
        })
    }

    /// What became of it, as far as it has come.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(
            self.samples,
            self.span,
            &self.links,
            self.order.iter().map(|(_, place)| (place.link, place.service)),
        )
    }

    /// Judges what waits and is of an earlier time than `at`.
    fn judge_before(&mut self, at: MonotonicTime) {
        for link in &mut self.links {
            if link.waiting().is_some_and(|waiting| waiting < at) {
                link.tick(&mut self.happened);
            }
        }
    }

    /// Finds the service of a sample, which may be a new one.
    fn place(&mut self, sample: &Sample<'_>) -> Result<Place, LineError> {
        let expected = self.order.get(self.next).or_else(|| {
            self.next = 0;
            self.order.first()
        });
        self.next += 1;
        if let Some((name, place)) = expected
            && *name == sample.service
        {
            return Ok(*place);
        }
        if let Some(place) = self.by_service.get(&*sample.service) {
            return Ok(*place);
        }
        self.add(sample)
    }

    fn add(&mut self, sample: &Sample<'_>) -> Result<Place, LineError> {
        let name = sample.service.clone().into_owned();
        if self.order.len() >= SERVICES_MAX {
            return Err(LineError::TooManyServices(name));
        }
        let found = self.layout.find(&name);
        let own = LinkPlan::of_one(&name);
        let plan = found.and_then(|found| self.layout.link(found.link)).unwrap_or(&own);
        let links = &mut self.links;
        let link = match found {
            Some(found) => *self.by_plan.entry(found.link).or_insert(links.len()),
            None => links.len(),
        };
        if link == links.len() {
            links.push(Link::new(link, plan, self.layout.settings(), sample.at));
        }
        let number = found.map_or(0, |found| found.service);
        let (Some(link_of), Some(service)) = (links.get_mut(link), plan.services.get(number)) else {
            // There is that link, and that service on it.
            return Err(LineError::TooManyServices(name));
        };
        let service = link_of.claim(&name, number, service, sample.at);
        let place = Place { link, service };
        self.by_service.insert(name.clone(), place);
        self.order.push((name, place));
        Ok(place)
    }
}

#[cfg(test)]
mod tests;
