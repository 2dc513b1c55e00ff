//! Templates in the manner of those that models come with, rendered letter by letter.

use serde_json::json;
use undertone_lm::chat::{
    ChatTemplate, ChatTemplateError, Message, RenderOptions, SystemLine, TemplateTokens,
};

use crate::support::TestResult;

/// Turns in pointed brackets, and a system line of its own.
const CHATML: &str = "\
{% for message in messages %}
  {%- if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\nBe an owl.<|im_end|>\n' }}{% endif %}
  {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
";

/// As above without a line of its own; thinking can be turned off.
const THINKING: &str = "\
{%- set ns = namespace(last=-1) %}
{%- for message in messages %}{% if message.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for message in messages %}
    {%- if message.role == 'assistant' and loop.index0 < ns.last and '</think>' in message.content %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
    {%- else %}
        {%- set content = message.content %}
    {%- endif %}
    {{- '<|im_start|>' ~ message.role ~ '\n' ~ content ~ '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}
{%- endif %}";

/// Headers between brackets; a system turn with a date, always.
const DATED: &str = "\
{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now('%d %b %Y') %}
    {%- else %}
        {%- set date_string = '01 Jan 2000' %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = '' %}
{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\n\nToday is ' + date_string + '.\n\n' + system_message + '<|eot_id|>' }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";

/// The system's words go before the first user's; roles have to take turns.
const FOLDED: &str = "\
{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set prefix = messages[0]['content'] + '\n\n' -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set prefix = '' -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('Roles have to take turns.') }}
    {%- endif -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\n' + (prefix if loop.first else '') }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- else -%}
        {%- for item in message['content'] -%}{{ item['text'] }}{%- endfor -%}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}";

/// Instructions in brackets; the system's words inside the first.
const INSTRUCTIONS: &str = "\
{% if messages[0]['role'] == 'system' %}{% set words = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}{% set rest = messages[1:] %}\
{% else %}{% set words = '' %}{% set rest = messages %}{% endif %}
{% for message in rest %}
{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + (words if loop.first else '') + message['content'].strip() + ' [/INST]' }}\
{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}
{% endfor %}";

fn tokens(bos: Option<&str>) -> TemplateTokens {
    TemplateTokens {
        bos: bos.map(str::to_owned),
        eos: Some("</s>".to_owned()),
        ..TemplateTokens::default()
    }
}

fn prompt() -> RenderOptions {
    RenderOptions {
        add_generation_prompt: true,
        ..RenderOptions::default()
    }
}

fn conversation(messages: &[(&str, &str)]) -> Vec<Message> {
    messages
        .iter()
        .map(|&(role, content)| Message::new(role, content))
        .collect()
}

#[track_caller]
fn check(
    (source, bos): (&str, Option<&str>),
    messages: &[(&str, &str)],
    options: &RenderOptions,
    text: &str,
    system_line: Option<&str>,
) {
    let template = ChatTemplate::new(source, tokens(bos)).expect("a valid template");
    let rendered = template.render(&conversation(messages), options);
    let rendered = rendered.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(rendered.text, text);
    let expected = system_line.map_or(SystemLine::Absent, |line| {
        SystemLine::Added(line.to_owned())
    });
    assert_eq!(rendered.system_line, expected);
}

const BOS: Option<&str> = Some("<bos>");

#[test]
fn a_default_system_line_is_rendered_and_reported() {
    let text = "<|im_start|>system\nBe an owl.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
    check(
        (CHATML, None),
        &[("user", "Hi")],
        &prompt(),
        text,
        Some("Be an owl."),
    );
}

#[test]
fn a_system_message_takes_the_place_of_the_default_line() {
    let messages = [("system", "Be a fox."), ("user", "Hi")];
    let text = "<|im_start|>system\nBe a fox.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n";
    check(
        (CHATML, None),
        &messages,
        &RenderOptions::default(),
        text,
        None,
    );
    // Saying the same words oneself is not the template's doing.
    let messages = [("system", "Be an owl."), ("user", "Hi")];
    let text = "<|im_start|>system\nBe an owl.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n";
    check(
        (CHATML, None),
        &messages,
        &RenderOptions::default(),
        text,
        None,
    );
}

#[test]
fn variables_reach_the_template_and_nothing_is_added_without() {
    let text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
    check((THINKING, None), &[("user", "Hi")], &prompt(), text, None);
    let mut options = prompt();
    options
        .variables
        .insert("enable_thinking".to_owned(), json!(false));
    let text = format!("{text}<think>\n\n</think>\n\n");
    check((THINKING, None), &[("user", "Hi")], &options, &text, None);
    let messages = [
        ("user", "Hi"),
        ("assistant", "<think>\nhm</think>\n\nHo"),
        ("user", "And?"),
    ];
    let text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n";
    check(
        (THINKING, None),
        &messages,
        &RenderOptions::default(),
        text,
        None,
    );
}

#[test]
fn a_date_is_the_frozen_one_or_the_templates_own() {
    let head = "<bos><|start_header_id|>system<|end_header_id|>\n\nToday is ";
    let user = "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>";
    let text = format!("{head}01 Jan 2000.\n\n<|eot_id|>{user}");
    let options = RenderOptions::default();
    check(
        (DATED, BOS),
        &[("user", " Hi ")],
        &options,
        &text,
        Some("Today is 01 Jan 2000."),
    );
    let options = RenderOptions {
        clock: Some("2026-03-07".parse().expect("a date")),
        ..options
    };
    let text = format!("{head}07 Mar 2026.\n\nBe a fox.<|eot_id|>{user}");
    let messages = [("system", "Be a fox."), ("user", "Hi")];
    check(
        (DATED, BOS),
        &messages,
        &options,
        &text,
        Some("Today is 07 Mar 2026."),
    );
}

#[test]
fn a_template_that_insists_on_the_time_needs_a_clock() -> TestResult {
    let template = ChatTemplate::new(
        "{{ strftime_now('%Y') }}{{ messages[0].content }}",
        tokens(None),
    )?;
    let messages = [Message::new("user", "Hi")];
    let error = template.render(&messages, &RenderOptions::default());
    assert!(
        matches!(error, Err(ChatTemplateError::NeedsClock)),
        "{error:?}"
    );
    let options = RenderOptions {
        clock: Some("2026-03-07".parse()?),
        ..RenderOptions::default()
    };
    let rendered = template.render(&messages, &options)?;
    assert_eq!(rendered.text, "2026Hi");
    assert!(rendered.clock_used);
    let template = ChatTemplate::new("{{ messages[0].content }}", tokens(None))?;
    assert!(!template.render(&messages, &options)?.clock_used);
    Ok(())
}

#[test]
fn system_words_may_stand_in_a_users_turn() {
    let messages = [("system", "Be a fox."), ("user", "Hi"), ("assistant", "Ho")];
    let text = "<bos><start_of_turn>user\nBe a fox.\n\nHi<end_of_turn>\n<start_of_turn>model\nHo<end_of_turn>\n";
    check(
        (FOLDED, BOS),
        &messages,
        &RenderOptions::default(),
        text,
        None,
    );
    let text = "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n";
    check((FOLDED, BOS), &[("user", "Hi")], &prompt(), text, None);
    let messages = [
        ("system", "Be a fox."),
        ("user", "Hi"),
        ("assistant", "Ho"),
        ("user", "!"),
    ];
    let text = "<s>[INST] <<SYS>>\nBe a fox.\n<</SYS>>\n\nHi [/INST] Ho </s><s>[INST] ! [/INST]";
    check(
        (INSTRUCTIONS, Some("<s>")),
        &messages,
        &RenderOptions::default(),
        text,
        None,
    );
    let text = "<s>[INST] Hi [/INST]";
    check(
        (INSTRUCTIONS, Some("<s>")),
        &[("user", "Hi")],
        &RenderOptions::default(),
        text,
        None,
    );
}

#[test]
fn a_refusal_says_what_the_template_says() -> TestResult {
    let template = ChatTemplate::new(FOLDED, tokens(BOS))?;
    let messages = conversation(&[("user", "Hi"), ("user", "Ho")]);
    match template.render(&messages, &RenderOptions::default()) {
        Err(ChatTemplateError::Refused { message }) => {
            assert_eq!(message, "Roles have to take turns.");
            Ok(())
        }
        other => Err(format!("{other:?}").into()),
    }
}

#[test]
fn a_template_that_cannot_be_asked_is_not_said_to_add_nothing() -> TestResult {
    let source = "{% if messages|length > 1 %}{{ raise_exception('one!') }}{% endif %}Be an owl. {{ messages[0].content }}";
    let template = ChatTemplate::new(source, tokens(None))?;
    let rendered = template.render(&[Message::new("user", "Hi")], &RenderOptions::default())?;
    assert_eq!(rendered.text, "Be an owl. Hi");
    assert_eq!(rendered.system_line, SystemLine::Undetermined);
    Ok(())
}

#[track_caller]
fn check_expression(expression: &str, expected: &str) {
    let source = format!("{{{{ {expression} }}}}");
    let template = ChatTemplate::new(&source, tokens(BOS)).expect("a valid template");
    let messages = [Message::new("user", "Hi \"you\" <é>\n")];
    let rendered = template.render(&messages, &RenderOptions::default());
    let rendered = rendered.unwrap_or_else(|error| panic!("{expression}: {error:?}"));
    assert_eq!(rendered.text, expected, "{expression}");
}

#[test]
fn expressions_are_what_python_makes_of_them() {
    check_expression(
        "messages[0] | tojson",
        r#"{"role": "user", "content": "Hi \"you\" <é>\n"}"#,
    );
    check_expression(
        "[1, 2.5, true, none, {'b': [], 'a': {}}] | tojson",
        r#"[1, 2.5, true, null, {"b": [], "a": {}}]"#,
    );
    check_expression(
        "{'a': [1, 'x']} | tojson(indent=2)",
        "{\n  \"a\": [\n    1,\n    \"x\"\n  ]\n}",
    );
    check_expression("'\\u0001' | tojson(ensure_ascii=false)", "\"\\u0001\"");
    check_expression("none", "None");
    check_expression("true and false", "False");
    check_expression("tools is none", "True");
    check_expression("missing", "");
    check_expression("bos_token ~ eos_token", "<bos></s>");
    check_expression(
        "' ab '.strip() ~ '|' ~ 'xa'.lstrip('x') ~ 'a b'.split(' ')[1]",
        "ab|ab",
    );
    check_expression("'abc'.startswith('ab') and 'abc'.endswith('c')", "True");
    check_expression("messages[0].items() | list | length", "2");
    check_expression("messages[0].get('name', 'nobody')", "nobody");
    check_expression("'a-b'.replace('-', '+').upper()", "A+B");
    check_expression("messages[-1:][0]['role']", "user");
}

#[test]
fn loops_may_be_left_and_turns_marked() -> TestResult {
    let source = "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i > 3 %}{% break %}{% endif %}{{ i }}{% endfor %}\
        {% generation %}!{% endgeneration %}";
    let template = ChatTemplate::new(source, tokens(None))?;
    let rendered = template.render(&[], &RenderOptions::default())?;
    assert_eq!(rendered.text, "023!");
    Ok(())
}

/// Whether a template is refused, compiled or rendered; the process survives it in any case.
fn is_refused(source: &str) -> bool {
    match ChatTemplate::new(source, tokens(None)) {
        Err(_) => true,
        Ok(template) => template.render(&[], &RenderOptions::default()).is_err(),
    }
}

#[test]
fn templates_that_want_too_much_are_refused() {
    for source in [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{{ 'x' * 1000000000000 }}",
        "{{ 'x' | indent(1000000000000) }}",
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{% set ns = namespace(x=1) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=1) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
        "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{% set ns = namespace(x=1) %}{% for i in range(999) %}{% set ns.x = {'x': ns.x} %}{% endfor %}{{ ns.x | tojson }}",
        "{% include 'other' %}",
        "{{ open('file') }}",
        "{{ messages.append(1) }}",
        "{% if %}",
        &"{{ 1 }}".repeat(20_000),
    ] {
        assert!(is_refused(source), "{source}");
    }
}

#[test]
fn deep_templates_do_not_exhaust_the_stack() {
    let n = 25_000;
    for source in [
        format!("{{{{ {}1 }}}}", "not ".repeat(n)),
        format!("{{{{ {}1{} }}}}", "(".repeat(n), ")".repeat(n)),
        format!("{{{{ 1{} }}}}", "+1".repeat(n)),
        format!("{{{{ 1{} }}}}", "|abs".repeat(n)),
        format!(
            "{}{}",
            "{% if 1 %}".repeat(n / 4),
            "{% endif %}".repeat(n / 4)
        ),
    ] {
        // Refused or not, we are still here.
        is_refused(&source);
    }
}
