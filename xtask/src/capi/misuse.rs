//! C programs generated from the header: every pointer NULL once, every length out of range,
//! every struct with a wrong size; and a panic in every function.

use core::fmt::Write as _;

use super::prototypes::{Function, Header, Parameter};

/// The pointers that may be NULL, as the header documents.
const OPTIONAL: [&str; 25] = [
    "out_error",
    "peppers",
    "options",
    "out_decision",
    "keystile_keyring_check.out_value",
    "keystile_keyring_admit.out_value",
    "out_quota",
    "out_key_id",
    "keystile_verify.record",
    "keystile_keyring_admit.record",
    "keystile_keyring_admit.usage",
    "keystile_keyring_admit.value",
    "keystile_keyring_decide.context",
    "keystile_keyring_decide_shared.context",
    "keystile_keyring_grant.out_value",
    "keystile_respond.requirement",
    "keystile_respond.extractor",
    "keystile_template_new.endpoints",
    "keystile_template_new.rate_limit",
    "keystile_rotate.policy",
    "keystile_plan.policy",
    "keystile_rotation_policy_to_json.policy",
    "keystile_keyring_usage.usage",
    "keystile_credential_extractor_new.verifier",
    "keystile_credential_extractor_new.sources",
];

/// Calls of each function with each pointer NULL, and so on. The outputs must be unchanged.
pub(crate) fn matrix(header: &Header) -> String {
    let mut code = String::from("#include \"specimens.h\"\n\n");
    let mut calls = 0_usize;
    for function in &header.functions {
        let _ = writeln!(code, "static void test_{}(void) {{", function.name);
        if function.returns == "keystile_status" {
            calls = calls.saturating_add(status_calls(function, header, &mut code));
        } else {
            let _ = writeln!(code, "    {};", with_nothing(function));
        }
        code.push_str("}\n\n");
    }
    code.push_str("int main(void) {\n    prepare();\n");
    for function in &header.functions {
        let _ = writeln!(code, "    test_{}();", function.name);
    }
    let _ = writeln!(
        code,
        "    printf(\"{} functions, {calls} misuses\\n\");\n    dismiss();\n    return 0;\n}}",
        header.functions.len()
    );
    code
}

/// A panic in each function, which must return the status of a panic and change nothing.
pub(crate) fn panics(header: &Header) -> String {
    let mut code = String::from(
        "#include \"support.h\"\n\nextern void keystile_test_panic_next(void);\n\nint main(void) {\n",
    );
    for function in &header.functions {
        let call = with_nothing(function);
        code.push_str("    keystile_test_panic_next();\n");
        if function.returns == "keystile_status" {
            let _ = writeln!(code, "    EXPECT(KEYSTILE_ERROR_PANIC, {call});");
        } else {
            // A function without a status uses the panic up, and the next call succeeds.
            let _ = writeln!(code, "    (void){call};");
        }
        code.push_str("    OK(keystile_path_check(0, \"/\", 1));\n");
    }
    let _ = writeln!(
        code,
        "    printf(\"{} panics came back\\n\");\n    return 0;\n}}",
        header.functions.len()
    );
    code
}

/// The call with only NULL and 0 as arguments.
fn with_nothing(function: &Function) -> String {
    let nothing = function.parameters.iter().map(
        |parameter| {
            if parameter.is_pointer() { "NULL" } else { "0" }
        },
    );
    format!(
        "{}({})",
        function.name,
        nothing.collect::<Vec<_>>().join(", ")
    )
}

fn status_calls(function: &Function, header: &Header, code: &mut String) -> usize {
    for parameter in &function.parameters {
        declare(parameter, header, code);
    }
    let mut calls = 0_usize;
    let mut expect = |expected: &str, changed: &[(usize, &str)]| {
        let arguments: Vec<String> = function
            .parameters
            .iter()
            .enumerate()
            .map(|(at, parameter)| {
                let replaced = changed.iter().find(|(index, _)| *index == at);
                replaced.map_or_else(
                    || argument(function, parameter, header),
                    |(_, text)| (*text).to_owned(),
                )
            })
            .collect();
        let call = format!("{}({})", function.name, arguments.join(", "));
        let _ = writeln!(code, "    {expected}({call});");
        let outputs = function.parameters.iter().enumerate();
        for (at, parameter) in outputs.filter(|(_, p)| is_output(p)) {
            let is_passed = changed.iter().all(|(index, _)| *index != at);
            let state = if is_passed && is_zeroed(function, parameter) {
                "ZEROED"
            } else {
                "UNTOUCHED"
            };
            let _ = writeln!(code, "    {state}({});", parameter.name);
        }
        calls = calls.saturating_add(1);
    };
    for (at, parameter) in function.parameters.iter().enumerate() {
        if !parameter.is_pointer() {
            continue;
        }
        let length = at.saturating_add(1);
        let counted = function.parameters.get(length).is_some_and(is_length);
        if counted {
            expect("IS_NULL_POINTER", &[(at, "NULL"), (length, "1")]);
            expect("IS_LENGTH", &[(length, "SIZE_MAX")]);
            expect("IS_LENGTH", &[(length, "SIZE_MAX / 2 + 1")]);
        } else if !is_optional(function, parameter) {
            expect("IS_NULL_POINTER", &[(at, "NULL")]);
        }
        if header.sized.iter().any(|sized| sized == parameter.target()) {
            for size in ["0", "1", "sizeof(size_t)", "SIZE_MAX"] {
                let wrong = format!("wrong_size({size})");
                expect("IS_STRUCT_SIZE", &[(at, &wrong)]);
            }
        }
    }
    calls
}

fn is_length(parameter: &Parameter) -> bool {
    parameter.kind == "size_t" && parameter.name.ends_with("_len")
}

fn is_optional(function: &Function, parameter: &Parameter) -> bool {
    let full = format!("{}.{}", function.name, parameter.name);
    OPTIONAL.contains(&&*parameter.name) || OPTIONAL.contains(&&*full)
}

fn is_output(parameter: &Parameter) -> bool {
    // An error is written to always.
    let is_error = parameter.name == "out_error";
    parameter.name.starts_with("out_") && parameter.is_pointer() && !is_error
}

/// What decides about a request leaves nothing of an earlier call behind.
fn is_zeroed(function: &Function, parameter: &Parameter) -> bool {
    let decides = function
        .parameters
        .iter()
        .any(|other| other.name == "out_decision");
    let full = format!("{}.{}", function.name, parameter.name);
    let finds = [
        "keystile_keyring_value.out_value",
        "keystile_key_lookup.out_lookup",
    ];
    finds.contains(&&*full)
        || decides && ["out_decision", "out_value", "out_credential"].contains(&&*parameter.name)
}

/// Declares the outputs as variables that are filled with a pattern.
fn declare(parameter: &Parameter, header: &Header, code: &mut String) {
    if !is_output(parameter) {
        return;
    }
    let kind = parameter.kind.strip_suffix('*').unwrap_or_default().trim();
    let _ = writeln!(code, "    {kind} {0}; FILL({0});", parameter.name);
    if header.sized.iter().any(|sized| sized == parameter.target()) {
        let _ = writeln!(code, "    {0}.struct_size = sizeof {0};", parameter.name);
    }
}

/// A valid argument.
fn argument(function: &Function, parameter: &Parameter, header: &Header) -> String {
    let name = &*parameter.name;
    if is_output(parameter) {
        return format!("&{name}");
    }
    if !parameter.is_pointer() {
        return if is_length(parameter) {
            let of = name.strip_suffix("_len").unwrap_or_default();
            format!("S_{of}_len")
        } else {
            format!("S_{name}")
        };
    }
    let target = parameter.target();
    let list = function.name.strip_suffix("_new").unwrap_or_default();
    match target {
        "keystile_str" => format!("S.{}", list.replace("keystile_", "str_")),
        "char" if name == "buffer" => "S.buffer".to_owned(),
        "char" => "S.key".to_owned(),
        "uint8_t" => "S.random".to_owned(),
        "uint64_t" | "void" => format!("&S.{name}"),
        "keystile_record *const" => "S.records".to_owned(),
        "keystile_plan_item" => "S.plan_items".to_owned(),
        "keystile_header" => "S.headers".to_owned(),
        _ => {
            let noun = target.trim_start_matches("keystile_");
            let is_value =
                header.sized.iter().any(|sized| sized == target) || VALUES.contains(&noun);
            format!("{}S.{noun}", if is_value { "&" } else { "" })
        }
    }
}

/// Structs that are not handles.
const VALUES: [&str; 10] = [
    "error",
    "address",
    "digest",
    "id",
    "quota",
    "rate_limit",
    "ticket",
    "usage",
    "decision",
    "credential",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn every_function_of_the_header_is_called() {
        let header = Header::read(&Workspace::here()).expect("a header");
        let (matrix, panics) = (matrix(&header), panics(&header));
        let mut uncalled = Vec::new();
        for function in &header.functions {
            let call = format!("{}(", function.name);
            assert!(panics.contains(&call), "{call}");
            let called = [" ", "("].map(|before| format!("{before}{call}"));
            if !called.iter().any(|called| matrix.contains(called)) {
                uncalled.push(&*function.name);
            }
        }
        // Its only pointer may be NULL, so there is no way to misuse it.
        assert_eq!(uncalled, ["keystile_refuse"]);
    }
}
