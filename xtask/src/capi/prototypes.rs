//! The functions and structs that `include/keystile.h` declares.

use crate::workspace::Workspace;

/// The parts of the header that the tests need.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) functions: Vec<Function>,
    /// The structs that begin with their size.
    pub(crate) sized: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) returns: String,
    pub(crate) parameters: Vec<Parameter>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Without `struct`, such as `const keystile_format *`.
    pub(crate) kind: String,
    pub(crate) name: String,
}

impl Header {
    pub(crate) fn read(workspace: &Workspace) -> Result<Self, String> {
        let path = workspace.path("include/keystile.h");
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let header = Self::parse(&text);
        if header.functions.len() < 100 || header.sized.is_empty() {
            return Err("include/keystile.h: expected functions and sized structs".to_owned());
        }
        Ok(header)
    }

    pub(crate) fn parse(text: &str) -> Self {
        let text = without_comments(text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let code = lines.collect::<Vec<_>>().join(" ");
        let code = code
            .replace("KEYSTILE_MUST_USE", "")
            .replace("extern \"C\" {", "")
            .replace("struct ", "");
        let functions = code.split(';').filter_map(function).collect();
        let sized = code
            .split("typedef ")
            .filter_map(|part| {
                let (name, body) = part.split_once('{')?;
                let sized = body.trim_start().starts_with("size_t struct_size;");
                sized.then(|| name.trim().to_owned())
            })
            .collect();
        Self { functions, sized }
    }
}

impl Parameter {
    pub(crate) fn is_pointer(&self) -> bool {
        self.kind.ends_with('*')
    }

    /// The type that it points to, without `const`.
    pub(crate) fn target(&self) -> &str {
        let kind = self.kind.trim_end_matches('*').trim();
        kind.trim_start_matches("const ").trim()
    }
}

fn without_comments(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        code.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    code.push_str(rest);
    let uncommented = code.lines().map(|line| line.split("//").next());
    uncommented.flatten().collect::<Vec<_>>().join("\n")
}

fn function(declaration: &str) -> Option<Function> {
    let declaration = declaration.split_whitespace().collect::<Vec<_>>().join(" ");
    let (head, tail) = declaration.split_once('(')?;
    let parameters = tail.strip_suffix(')')?;
    let at = head.rfind("keystile_")?;
    let (returns, name) = head.split_at_checked(at)?;
    if returns.is_empty() || head.contains(['{', '}']) {
        return None;
    }
    Some(Function {
        name: name.to_owned(),
        returns: returns.trim().to_owned(),
        parameters: parameters.split(',').filter_map(parameter).collect(),
    })
}

fn parameter(text: &str) -> Option<Parameter> {
    let text = text.trim();
    let at = text.rfind([' ', '*'])?.checked_add(1)?;
    let (kind, name) = text.split_at_checked(at)?;
    Some(Parameter {
        kind: kind.trim().to_owned(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_found_between_comments_and_directives() {
        let header = Header::parse(
            "/* keystile_no(void); */\n#define X 1\nextern \"C\" {\n\
             typedef struct keystile_a {\n /** x */ size_t struct_size;\n int b; } keystile_a;\n\
             KEYSTILE_MUST_USE\nkeystile_status keystile_f(const struct keystile_a *a,\n\
             size_t a_len, struct keystile_b **out_b);\nconst char *keystile_v(void);\n}\n",
        );
        assert_eq!(header.sized, ["keystile_a"]);
        let names: Vec<&str> = header.functions.iter().map(|f| &*f.name).collect();
        assert_eq!(names, ["keystile_f", "keystile_v"]);
        let kinds: Vec<&str> = header.functions[0]
            .parameters
            .iter()
            .map(|p| &*p.kind)
            .collect();
        assert_eq!(kinds, ["const keystile_a *", "size_t", "keystile_b **"]);
        assert!(header.functions[1].parameters.is_empty());
    }
}
