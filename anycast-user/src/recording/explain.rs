//! Why a service is judged as it is, at a moment of a recording: in JSON and in words.

use std::{fmt, time::Duration};

use serde_json::{Value, json};

use crate::{
    clock::MonotonicTime,
    detect::{Assessment, Parameters},
    engine::Explanation,
    event::AlertKind,
    policy::State,
};

/// What the judgement of a service rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Its name in the recording.
    pub service: String,
    /// The link that it is on.
    pub link: String,
    /// The time of its link's last samples.
    pub at: MonotonicTime,
    /// Everything behind it.
    pub explanation: Explanation,
    /// A daemon with this configuration would touch the link.
    pub acts: bool,
}

impl Explained {
    /// What is still missing for a withdrawal; nothing when there is one.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let Explanation {
            state,
            armed,
            watch_only,
            assessment,
            suspected_since,
            failed_bursts,
            burst_nats,
            floor,
            dead,
            ..
        } = &self.explanation;
        let Assessment {
            threshold,
            suspicion_threshold,
            overload,
            overload_silence,
            silence,
            ..
        } = assessment;
        if matches!(state, State::Withdrawn | State::Holding) {
            return Vec::new();
        }
        let mut missing = Vec::new();
        if let Some(reason) = watch_only {
            missing.push(format!("it is only watched: {reason}"));
        } else if !armed {
            missing.push(match (assessment.ready, assessment.tail_too_heavy) {
                (_, true) => "to be armed: its healthy silences are too long for silence to mean anything".to_owned(),
                (true, _) => "to be armed: a burst of probes that is answered whole".to_owned(),
                (false, _) => "to be armed: more answers, a longer time, or a steadier share answered".to_owned(),
            });
        }
        let evidence = assessment.evidence();
        match suspected_since {
            None => missing.push(format!(
                "a suspicion: evidence of {suspicion_threshold:.1} nats, and there are {evidence:.1}"
            )),
            Some(_) if *dead => {}
            Some(since) => {
                let age = self.at.since(*since);
                if *failed_bursts == 0 {
                    missing.push("a burst of probes without an answer".to_owned());
                }
                if evidence + burst_nats < *threshold {
                    missing.push(format!("{:.1} nats of evidence", threshold - evidence - burst_nats));
                }
                if age < *floor {
                    missing.push(format!("{} until the floor", Milliseconds(floor.saturating_sub(age))));
                }
                if *overload && silence < overload_silence {
                    let left = overload_silence.saturating_sub(*silence);
                    missing.push(format!(
                        "{} more of silence, as more comes than usual",
                        Milliseconds(left)
                    ));
                }
                if missing.is_empty() {
                    missing.push("probes that fail for the length of the floor, up to its end".to_owned());
                }
            }
        }
        if *dead && !self.acts {
            missing.push("to be allowed to: the configuration says `armed = false`".to_owned());
        } else if *dead {
            missing.push("other services of its link to be dead: `withdraw_when` asks for that".to_owned());
        }
        missing
    }

    /// As one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Explanation {
            state,
            armed,
            watch_only,
            parameters,
            assessment,
            unanswered,
            expected,
            suspected_since,
            failed_bursts,
            burst_nats,
            floor,
            dead,
            closest_approach,
            alerts,
        } = &self.explanation;
        let alerts: Vec<_> = alerts.iter().map(AlertKind::name).collect();
        json!({
            "service": self.service,
            "link": self.link,
            "t_ms": self.at.as_millis_f64(),
            "state": state,
            "armed": armed,
            "ready": assessment.ready,
            "watch_only": watch_only.map(|reason| reason.to_string()),
            "baseline_per_s": parameters.usual_rate,
            "mean_per_s": parameters.mean_rate,
            "share_answered": parameters.share_answered,
            "lag_ms": milliseconds(parameters.lag),
            "share_within_lag": parameters.share_within_lag,
            "nats_per_query": parameters.nats_per_query,
            "dispersion": parameters.dispersion,
            "block_ms": milliseconds(parameters.block),
            "silence_ms": milliseconds(assessment.silence),
            "idle": assessment.idle,
            "unanswered": unanswered,
            "expected": expected,
            "evidence": assessment.evidence(),
            "silence_evidence": assessment.silence_evidence,
            "residual_evidence": assessment.residual_evidence,
            "failed_bursts": failed_bursts,
            "burst_nats": burst_nats,
            "suspicion_threshold": assessment.suspicion_threshold,
            "threshold": assessment.threshold,
            "suspected_for_ms": suspected_since.map(|since| milliseconds(self.at.since(since))),
            "floor_ms": milliseconds(*floor),
            "overload": assessment.overload,
            "dead": dead,
            "acts": self.acts,
            "closest_approach_percent": 100.0 * closest_approach,
            "alerts": alerts,
            "missing": self.missing(),
        })
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation {
            state,
            armed,
            parameters,
            assessment,
            unanswered,
            expected,
            suspected_since,
            failed_bursts,
            burst_nats,
            floor,
            closest_approach,
            alerts,
            ..
        } = &self.explanation;
        let Parameters {
            usual_rate,
            mean_rate,
            share_answered,
            lag,
            share_within_lag,
            dispersion,
            ..
        } = parameters;
        let seconds = self.at.as_millis_f64() / 1e3;
        let armed = if *armed { "armed" } else { "not armed" };
        writeln!(
            f,
            "{} on {} at {seconds:.3} s: {}, {armed}",
            self.service,
            self.link,
            state.name()
        )?;
        writeln!(
            f,
            "  baseline    {usual_rate:.1} answers/s (mean {mean_rate:.1}), {:.1} % of the queries answered, {:.1} % of these \
             within {}, dispersion {dispersion:.2}",
            100.0 * share_answered,
            100.0 * share_within_lag,
            Milliseconds(*lag),
        )?;
        let silence = Milliseconds(assessment.silence);
        let idle = if assessment.idle { "; nobody asks" } else { "" };
        writeln!(
            f,
            "  seen        no answer for {silence}, {unanswered} queries wait, {expected:.1} answers were expected{idle}"
        )?;
        let Assessment {
            silence_evidence,
            residual_evidence,
            threshold,
            suspicion_threshold,
            overload,
            ..
        } = assessment;
        writeln!(
            f,
            "  evidence    {:.1} nats (silence {silence_evidence:.1}, residual {residual_evidence:.1}) and {burst_nats:.1} of \
             {failed_bursts} failed bursts; suspicion from {suspicion_threshold:.1}, proof at {threshold:.1}",
            assessment.evidence(),
        )?;
        let suspected = suspected_since.map_or_else(
            || "not suspected".to_owned(),
            |since| format!("suspected for {}", Milliseconds(self.at.since(since))),
        );
        let overload = if *overload { "; overload" } else { "" };
        writeln!(f, "  guards      floor {}, {suspected}{overload}", Milliseconds(*floor))?;
        for alert in alerts.iter() {
            writeln!(f, "  alert       {}: {alert}", alert.name())?;
        }
        writeln!(
            f,
            "  closest     {:.1} % of the threshold so far",
            100.0 * closest_approach
        )?;
        match &*self.missing() {
            [] => write!(f, "  missing     nothing: its link is down"),
            missing => write!(f, "  missing     {}", missing.join("; ")),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A time in milliseconds.
struct Milliseconds(Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", milliseconds(self.0))
    }
}
