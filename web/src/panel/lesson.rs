//! A scenario's comments as prose, and its timed lines as steps that one can go to.

use leptos::prelude::*;
use ottla_core::arrange::Arrange;
use ottla_core::sim::Outcome;
use ottla_core::sim::scenario::{flip, parse};
use ottla_core::time::Instant;

use crate::panel::script::colour;
use crate::store::{Session, Sheet, Tab};

/// What a scenario's text tells a reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Its first comment line.
    pub title: String,
    /// The paragraphs of the comment that it opens with.
    pub prose: Vec<String>,
    pub steps: Vec<Step>,
}

/// What happens at one moment, with the comment that stands above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Instant,
    pub words: Vec<String>,
    pub lines: Vec<String>,
}

impl Story {
    pub fn of(text: &str) -> Story {
        let mut story = Story::default();
        let mut comment: Vec<String> = Vec::new();
        let mut opening = true;
        for line in text.lines().map(str::trim).filter(|line| !flip::is_flip(line)) {
            if let Some(words) = line.strip_prefix('#') {
                comment.push(words.trim().to_string());
                continue;
            }
            let Some((time, action)) = line.strip_prefix('@').and_then(|line| line.split_once(char::is_whitespace))
            else {
                if opening && !comment.is_empty() {
                    story.open(&comment);
                    opening = false;
                }
                // A blank line ends a comment that is about nothing in particular.
                comment.clear();
                continue;
            };
            let Some(at) = parse::duration(time).map(|time| Instant::ZERO + time) else { continue };
            let words = paragraphs(&std::mem::take(&mut comment));
            match story.steps.last_mut() {
                Some(last) if last.at == at && words.is_empty() => last.lines.push(action.trim().to_string()),
                _ => story.steps.push(Step { at, words, lines: vec![action.trim().to_string()] }),
            }
        }
        if opening {
            story.open(&comment);
        }
        if story.title.is_empty() {
            let empty = text.trim().is_empty();
            story.title = if empty { "Nothing runs yet" } else { "A cluster without a name" }.to_string();
        }
        story.steps.arrange_by_key(|step| step.at);
        story
    }

    /// What was found of each line of each step that expected something else.
    fn failed(&self, outcomes: &[Outcome]) -> Vec<Vec<Option<String>>> {
        let mut left: Vec<&Outcome> = outcomes.iter().collect();
        let mut found = |at: Instant, line: &String| {
            // Those of one moment come in the order of their lines.
            let expects = line.split_whitespace().next() == Some("expect");
            let outcome =
                left.iter().position(|outcome| expects && outcome.at == at).map(|place| left.remove(place))?;
            (!outcome.held).then(|| outcome.found.clone())
        };
        self.steps.iter().map(|step| step.lines.iter().map(|line| found(step.at, line)).collect()).collect()
    }

    fn open(&mut self, comment: &[String]) {
        let Some((title, rest)) = comment.split_first() else { return };
        self.title = title.trim_end_matches('.').to_string();
        self.prose = paragraphs(rest);
    }
}

/// A scenario's name: its first comment line.
pub fn title(text: &str) -> String {
    Story::of(text.split_once("\n\n").map_or(text, |(opening, _)| opening)).title
}

/// Comment lines run on; an empty one ends a paragraph. Lines that a scenario could have stay lines.
fn paragraphs(lines: &[String]) -> Vec<String> {
    let join = |lines: &[String]| lines.join(if are_lines(lines.iter().map(String::as_str)) { "\n" } else { " " });
    lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()).map(join).collect()
}

fn are_lines<'a>(mut lines: impl Iterator<Item = &'a str>) -> bool {
    lines.all(|line| parse::action(line).is_ok())
}

#[component]
pub fn Lesson() -> impl IntoView {
    let session = Session::get();
    let story = Memo::new(move |_| session.ran.with(|text| Story::of(text)));
    // Which step comes next; it changes seldom, the moment with every frame.
    let reached = Memo::new(move |_| {
        let now = session.view.with(|view| view.now);
        story.with(|story| story.steps.iter().take_while(|step| step.at <= now).count())
    });
    let failed =
        Memo::new(move |_| story.with(|story| session.verdict.with(|verdict| story.failed(&verdict.outcomes))));
    let names = Memo::new(move |_| {
        session.view.with(|view| {
            let brokers = view.brokers.iter().map(|broker| broker.name.clone());
            let producers = view.producers.iter().map(|producer| producer.name.clone());
            let consumers = view.consumers.iter().map(|consumer| consumer.name.clone());
            let topics = view.topics.iter().map(|topic| topic.name.clone());
            // Names that are words of the language too would stand out where they are only words.
            let is_word = |name: &String| name.chars().all(char::is_alphabetic);
            let all = brokers.chain(producers).chain(consumers).chain(topics);
            all.filter(|name| !is_word(name)).collect::<Vec<String>>()
        })
    });
    let prose = move |words: &[String]| {
        let names = names.get();
        let paragraph = |words: &String| match are_lines(words.lines()) {
            true => {
                let lines = words.lines().map(|line| view! { {colour(line)}"\n" }).collect_view();
                view! { <code class="lines">{lines}</code> }.into_any()
            }
            false => view! { <p>{emphasised(words, &names)}</p> }.into_any(),
        };
        words.iter().map(paragraph).collect_view()
    };
    let step = move |index: usize, step: Step| {
        // What was found of each line that failed.
        let found = Memo::new(move |_| failed.with(|failed| failed.get(index).cloned().unwrap_or_default()));
        let state = move || match index.cmp(&reached.get()) {
            std::cmp::Ordering::Less if found.with(|found| found.iter().any(Option::is_some)) => "moment failed",
            std::cmp::Ordering::Less => "moment done",
            std::cmp::Ordering::Equal => "moment next",
            std::cmp::Ordering::Greater => "moment",
        };
        let line = |(place, line): (usize, &String)| {
            let failed = move || found.with(|found| found.get(place).cloned().flatten());
            let words = move |found: String| view! { <span class="found"><b>"FAILED"</b>": "{found}</span> };
            view! { <code>{colour(line)}</code>{move || failed().map(words)} }
        };
        view! {
            <button class=state title="Go to this moment" on:click=move |_| session.go(step.at)>
                <span class="when mono">{format!("{} s", step.at.as_secs_f64())}</span>
                {(!step.words.is_empty()).then(|| prose(&step.words))}
                {step.lines.iter().enumerate().map(line).collect_view()}
            </button>
        }
    };
    view! {
        <div class="body lesson">
            <h2>{move || story.with(|story| story.title.clone())}</h2>
            {move || story.with(|story| prose(&story.prose))}
            {move || story.with(|story| story.steps.iter().cloned().enumerate().map(|(index, each)| step(index, each)).collect_view())}
            <div class="actions">
                <button on:click=move |_| session.tab.set(Tab::Scenario)>"Change the scenario"</button>
                <button on:click=move |_| session.sheet.set(Sheet::Gallery)>"Other scenarios"</button>
            </div>
        </div>
    }
}

/// Prose in which the names of the cluster's nodes and topics stand out.
fn emphasised(words: &str, names: &[String]) -> impl IntoView + use<> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    for word in words.split_inclusive(' ') {
        let core = word.trim_matches(|letter: char| !letter.is_alphanumeric() && letter != '-' && letter != '_');
        if names.iter().any(|name| name == core)
            && let Some((before, after)) = word.split_once(core)
        {
            plain.push_str(before);
            parts.push(std::mem::take(&mut plain).into_any());
            parts.push(view! { <b>{core.to_string()}</b> }.into_any());
            plain.push_str(after);
        } else {
            plain.push_str(word);
        }
    }
    parts.push(plain.into_any());
    parts
}

#[cfg(test)]
mod tests {
    use ottla_core::sim::scenario::Expectation;

    use super::*;

    #[test]
    fn the_opening_comment_is_title_and_prose_and_timed_lines_are_steps() {
        let story = Story::of(
            "# A death\n#\n# One\n# two.\n#\n# Three.\n\nseed 1\ncluster brokers=3\n\n# Now.\n@5s kill broker-1\n@5s expect lag = 0\n# flip: without\n@500ms rate p1 1/s\n",
        );
        assert_eq!(story.title, "A death");
        assert_eq!(story.prose, ["One two.", "Three."]);
        let steps: Vec<_> =
            story.steps.iter().map(|step| (step.at.as_millis(), step.words.len(), step.lines.len())).collect();
        assert_eq!(steps, [(500, 0, 1), (5_000, 1, 2)]);
        assert_eq!(title("# A death\n\ncluster brokers=1"), "A death");
    }

    #[test]
    fn a_line_that_failed_says_what_was_found_and_others_of_its_moment_do_not() {
        let story = Story::of(
            "# A\n\ncluster\n\n@1s expect lag = 0\n@2s kill broker-1\n@2s expect acked > 7\n@2s expect lag = 0\n",
        );
        let outcome = |at: u64, held: bool| Outcome {
            at: Instant::from_millis(at),
            expectation: Expectation::Settled,
            held,
            found: format!("found at {at}"),
        };
        let failed = story.failed(&[outcome(1_000, true), outcome(2_000, false), outcome(2_000, true)]);
        assert_eq!(failed, [vec![None], vec![None, Some("found at 2000".to_string()), None]]);
    }

    #[test]
    fn lines_of_a_scenario_stay_lines_among_prose() {
        let story =
            Story::of("# A\n#\n# Write them\n# below:\n#\n# topic orders\n# producer p1 topic=orders\n\ncluster\n");
        assert_eq!(story.prose, ["Write them below:", "topic orders\nproducer p1 topic=orders"]);
    }
}
