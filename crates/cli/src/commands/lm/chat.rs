//! `lm chat`: a person talks to a model, or to several side by side.
//!
//! Every voice has a conversation of its own. Nothing is recorded; the same words with the same seed get the same answers.

use std::io::{BufRead, IsTerminal, Write as _};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;
use undertone_core::{Seed, exit};
use undertone_lab::LabError;
use undertone_lab::lm::speech::PromptForm;
use undertone_lab::lm::subject::Loaded;
use undertone_lab::lm::{LmError, Prompting, Row, RowFile, Speech, Subject};
use undertone_lm::adapter::Adapter;
use undertone_lm::chat::Message;
use undertone_lm::peft::load_adapter;
use undertone_lm::sample::{Prompt, PromptProblem, SampleError, SampleSettings, Sampler};

use super::open;
use crate::args::LmChatArgs;
use crate::context::Context;
use crate::failure::Usage;

/// One who answers.
struct Voice {
    name: String,
    /// Which of the models.
    model: usize,
    adapter: Option<Adapter>,
    said: Vec<Message>,
}

/// A turn of the conversation.
#[derive(Debug, Serialize)]
struct Turn {
    user: String,
    answers: Vec<Answer>,
}

/// What one voice said.
#[derive(Debug, Serialize)]
struct Answer {
    voice: String,
    text: String,
}

/// Answers lines of stdin until it ends.
pub fn run(context: &Context, args: &LmChatArgs) -> Result<u8> {
    let LmChatArgs {
        model,
        adapter,
        with,
        no_base,
        prompting,
        sampling,
        precision,
    } = args;
    if *no_base && adapter.is_empty() && with.is_empty() {
        return Err(Usage(
            "--no-base leaves nobody to talk to; name --adapter or --with".to_owned(),
        )
        .into());
    }
    let names: Vec<&String> = std::iter::once(&model.model).chain(with).collect();
    let subjects: Vec<Subject> = names
        .iter()
        .map(|name| open::subject(context, name, None))
        .collect::<Result<_>>()?;
    let loaded: Vec<Loaded> = subjects
        .iter()
        .map(|subject| subject.load(subject.load_options((*precision).into(), 0)))
        .collect::<Result<_, LabError>>()?;
    let mut voices = Vec::new();
    let voice = |name: String, model, adapter| Voice {
        name,
        model,
        adapter,
        said: Vec::new(),
    };
    if !no_base {
        voices.push(voice("base".to_owned(), 0, None));
    }
    for folder in adapter {
        let weights = load_adapter(folder, loaded[0].model.config())
            .map_err(|error| LabError::from(LmError::from(error)))?;
        let packed = Adapter::pack(&weights, &loaded[0].model)
            .map_err(|error| LabError::from(LmError::from(error)))?;
        voices.push(voice(folder.display().to_string(), 0, Some(packed)));
    }
    voices.extend(
        with.iter()
            .zip(1..)
            .map(|(name, model)| voice(name.clone(), model, None)),
    );

    let prompting = open::prompting(prompting);
    let speeches: Vec<Speech<'_>> = subjects
        .iter()
        .map(|subject| Speech::new(subject, &prompting))
        .collect::<Result<_, LabError>>()?;
    let settings: Vec<SampleSettings> = speeches
        .iter()
        .map(|speech| {
            Ok(SampleSettings {
                sampling: open::sampling(sampling),
                stop_tokens: speech.stop_tokens(&sampling.stop)?,
                max_tokens: sampling.max_tokens,
            })
        })
        .collect::<Result<_, LabError>>()?;
    let room = Room {
        subjects: &subjects,
        loaded: &loaded,
        speeches: &speeches,
        settings: &settings,
        prompting: &prompting,
        seed: Seed(sampling.seed),
    };
    let turns = room.talk(context, &mut voices)?;
    if context.json {
        context.print(&json!({ "turns": turns }), || Ok(String::new()))?;
    }
    Ok(exit::DONE)
}

/// What all voices share.
struct Room<'a> {
    subjects: &'a [Subject],
    loaded: &'a [Loaded],
    speeches: &'a [Speech<'a>],
    settings: &'a [SampleSettings],
    prompting: &'a Prompting,
    seed: Seed,
}

impl Room<'_> {
    fn talk(&self, context: &Context, voices: &mut [Voice]) -> Result<Vec<Turn>> {
        let stdin = std::io::stdin();
        let is_person = stdin.is_terminal();
        if is_person {
            context.say("say something; /new begins anew, Ctrl-D ends");
        }
        let mut turns: Vec<Turn> = Vec::new();
        loop {
            if is_person {
                eprint!("> ");
                std::io::stderr()
                    .flush()
                    .context("cannot write to stderr")?;
            }
            let mut line = Vec::new();
            let read = stdin.lock().read_until(b'\n', &mut line);
            if read.context("cannot read stdin")? == 0 {
                return Ok(turns);
            }
            let Ok(line) = std::str::from_utf8(&line) else {
                context.tell("that line is not UTF-8 and was left out; say it again");
                continue;
            };
            match line.trim() {
                "" => continue,
                "/new" => voices.iter_mut().for_each(|voice| voice.said.clear()),
                words => {
                    let answers = self.answers(context, voices, words, turns.len() as u64)?;
                    turns.push(Turn {
                        user: words.to_owned(),
                        answers,
                    });
                }
            }
        }
    }

    fn answers(
        &self,
        context: &Context,
        voices: &mut [Voice],
        words: &str,
        turn: u64,
    ) -> Result<Vec<Answer>> {
        let several = voices.len() > 1;
        let mut answers = Vec::new();
        for voice in voices {
            voice.said.push(Message::new("user", words));
            let text = match self.answer(voice, turn)? {
                Ok(text) => text,
                Err(full) => {
                    voice.said.pop();
                    let name = &voice.name;
                    context.tell(format!("{name} cannot answer: {full}; /new begins anew"));
                    continue;
                }
            };
            voice.said.push(Message::new("assistant", text.clone()));
            if !context.json {
                let shown = match several {
                    true => format!("{}: {text}", voice.name),
                    false => text.clone(),
                };
                context.print(&(), || Ok(shown))?;
            }
            answers.push(Answer {
                voice: voice.name.clone(),
                text,
            });
        }
        Ok(answers)
    }

    /// Returns what a voice says, or why its conversation has no room for more.
    fn answer(&self, voice: &Voice, turn: u64) -> Result<Result<String, PromptProblem>> {
        let row = match self.prompting.form {
            PromptForm::Chat => Row {
                messages: Some(voice.said.clone()),
                ..Row::default()
            },
            // Without turns, all that was said is one text.
            PromptForm::Raw => {
                let texts = voice.said.iter().map(|message| message.content.as_str());
                Row::of_prompt(texts.collect::<Vec<_>>().join("\n"))
            }
        };
        let file = RowFile::of_row("the conversation", row);
        let spoken = self.speeches[voice.model]
            .prompts(&file)
            .map_err(LmError::Rows);
        let spoken = spoken.map_err(LabError::from)?.remove(0);
        let sampler = Sampler {
            model: &self.loaded[voice.model].model,
            adapter: voice.adapter.as_ref(),
            grammar: None,
            settings: &self.settings[voice.model],
            seed: self.seed,
            batch: 1,
        };
        let prompt = Prompt {
            row: turn,
            tokens: spoken.tokens,
        };
        let mut text = String::new();
        let tokenizer = &self.subjects[voice.model].text.tokenizer;
        let sampled = sampler.run(&[prompt], &mut |completion| {
            text = tokenizer.decode(&completion.tokens);
            Ok(())
        });
        match sampled {
            Ok(()) => Ok(Ok(text)),
            Err(SampleError::Prompt {
                problem: full @ PromptProblem::TooLong { .. },
                ..
            }) => Ok(Err(full)),
            Err(error) => Err(LabError::from(LmError::Sample(error)).into()),
        }
    }
}
