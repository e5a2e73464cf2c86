//! Lookup tables for [`super`]: symbols, accents, subscripts and superscripts.

/// Names of commands, and the text that each command stands for. Sorted by the bytes of the name.
#[rustfmt::skip]
const SYMBOLS: [(&str, &str); 240] = [
    ("AA", "Å"), ("AE", "Æ"), ("C", "ℂ"), ("DH", "Ð"), ("DJ", "Đ"), ("Delta", "Δ"), ("Gamma", "Γ"), ("Im", "ℑ"),
    ("L", "Ł"), ("LaTeX", "LaTeX"), ("Lambda", "Λ"), ("Leftarrow", "⇐"), ("Leftrightarrow", "⇔"), ("N", "ℕ"),
    ("O", "Ø"), ("OE", "Œ"), ("Omega", "Ω"), ("P", "¶"), ("Phi", "Φ"), ("Pi", "Π"), ("Pr", "Pr"), ("Psi", "Ψ"),
    ("Q", "ℚ"), ("R", "ℝ"), ("Re", "ℜ"), ("Rightarrow", "⇒"), ("S", "§"), ("Sigma", "Σ"), ("TH", "Þ"),
    ("TeX", "TeX"), ("Theta", "Θ"), ("Upsilon", "Υ"), ("Vert", "‖"), ("Xi", "Ξ"), ("Z", "ℤ"), ("aa", "å"),
    ("ae", "æ"), ("aleph", "ℵ"), ("alpha", "α"), ("angle", "∠"), ("approx", "≈"), ("arccos", "arccos"),
    ("arcsin", "arcsin"), ("arctan", "arctan"), ("arg", "arg"), ("argmax", "argmax"), ("argmin", "argmin"),
    ("ast", "∗"), ("backslash", "\\"), ("beta", "β"), ("bmod", "bmod"), ("bot", "⊥"), ("bullet", "•"),
    ("cap", "∩"), ("cdot", "·"), ("cdots", "⋯"), ("checkmark", "✓"), ("chi", "χ"), ("circ", "∘"),
    ("colon", ":"), ("cong", "≅"), ("copyright", "©"), ("cos", "cos"), ("cosh", "cosh"), ("cot", "cot"),
    ("cup", "∪"), ("dagger", "†"), ("ddagger", "‡"), ("deg", "deg"), ("degree", "°"), ("delta", "δ"),
    ("det", "det"), ("dh", "ð"), ("dim", "dim"), ("div", "÷"), ("dj", "đ"), ("dots", "…"), ("downarrow", "↓"),
    ("eg", "e.g."), ("ell", "ℓ"), ("emptyset", "∅"), ("eps", "ε"), ("epsilon", "ϵ"), ("equiv", "≡"),
    ("eta", "η"), ("etal", "et al."), ("etc", "etc."), ("euro", "€"), ("exists", "∃"), ("exp", "exp"),
    ("forall", "∀"), ("gamma", "γ"), ("gcd", "gcd"), ("ge", "≥"), ("geq", "≥"), ("geqslant", "≥"), ("gg", "≫"),
    ("gtrsim", "≳"), ("hbar", "ℏ"), ("i", "ı"), ("ie", "i.e."), ("iff", "⇔"), ("implies", "⇒"), ("in", "∈"),
    ("inf", "inf"), ("infty", "∞"), ("int", "∫"), ("iota", "ι"), ("j", "ȷ"), ("kappa", "κ"), ("ker", "ker"),
    ("l", "ł"), ("lVert", "‖"), ("lambda", "λ"), ("land", "∧"), ("langle", "⟨"), ("lceil", "⌈"), ("ldots", "…"),
    ("le", "≤"), ("leftarrow", "←"), ("leftrightarrow", "↔"), ("leq", "≤"), ("leqslant", "≤"), ("lesssim", "≲"),
    ("lfloor", "⌊"), ("lim", "lim"), ("liminf", "liminf"), ("limsup", "limsup"), ("ll", "≪"), ("ln", "ln"),
    ("log", "log"), ("longrightarrow", "⟶"), ("lor", "∨"), ("mapsto", "↦"), ("max", "max"), ("mid", "|"),
    ("min", "min"), ("mod", "mod"), ("models", "⊨"), ("mp", "∓"), ("mu", "μ"), ("nabla", "∇"), ("ne", "≠"),
    ("neg", "¬"), ("neq", "≠"), ("ng", "ŋ"), ("ni", "∋"), ("notin", "∉"), ("nu", "ν"), ("o", "ø"),
    ("odot", "⊙"), ("oe", "œ"), ("oint", "∮"), ("omega", "ω"), ("oplus", "⊕"), ("otimes", "⊗"),
    ("parallel", "∥"), ("partial", "∂"), ("perp", "⊥"), ("phi", "φ"), ("pi", "π"), ("pm", "±"),
    ("poly", "poly"), ("polylog", "polylog"), ("pounds", "£"), ("prec", "≺"), ("preceq", "⪯"), ("prime", "′"),
    ("prod", "∏"), ("propto", "∝"), ("psi", "ψ"), ("rVert", "‖"), ("rangle", "⟩"), ("rank", "rank"),
    ("rceil", "⌉"), ("rfloor", "⌋"), ("rho", "ρ"), ("rightarrow", "→"), ("setminus", "∖"), ("sigma", "σ"),
    ("sim", "∼"), ("simeq", "≃"), ("sin", "sin"), ("sinh", "sinh"), ("sqcap", "⊓"), ("sqcup", "⊔"),
    ("square", "□"), ("ss", "ß"), ("star", "⋆"), ("subset", "⊂"), ("subseteq", "⊆"), ("succ", "≻"),
    ("succeq", "⪰"), ("sum", "∑"), ("sup", "sup"), ("supset", "⊃"), ("supseteq", "⊇"), ("tan", "tan"),
    ("tanh", "tanh"), ("tau", "τ"), ("textasciitilde", "~"), ("textbackslash", "\\"), ("textdegree", "°"),
    ("textemdash", "—"), ("textendash", "–"), ("textgreater", ">"), ("textless", "<"), ("textmu", "μ"), ("textpm", "±"), ("textquotedblleft", "“"),
    ("textquotedblright", "”"), ("textquoteleft", "‘"), ("textquoteright", "’"), ("textregistered", "®"),
    ("texttimes", "×"), ("texttrademark", "™"), ("textunderscore", "_"), ("th", "þ"), ("theta", "θ"),
    ("times", "×"), ("to", "→"), ("top", "⊤"), ("tr", "tr"), ("triangle", "△"), ("uparrow", "↑"),
    ("upsilon", "υ"), ("varepsilon", "ε"), ("varnothing", "∅"), ("varphi", "φ"), ("varpi", "ϖ"),
    ("varrho", "ϱ"), ("varsigma", "ς"), ("vartheta", "ϑ"), ("vdash", "⊢"), ("vdots", "⋮"), ("vee", "∨"),
    ("vert", "|"), ("wedge", "∧"), ("xi", "ξ"), ("zeta", "ζ"),
];

/// Returns the text that a command stands for. `None` if the command is unknown.
pub fn symbol(name: &str) -> Option<&'static str> {
    let found = SYMBOLS.binary_search_by_key(&name, |(name, _)| name).ok()?;
    Some(SYMBOLS[found].1)
}

/// Returns the combining character of an accent command. `None` if `name` is not an accent command.
pub fn accent(name: &str) -> Option<char> {
    Some(match name {
        "`" | "grave" => '\u{300}',
        "'" | "acute" => '\u{301}',
        "^" | "hat" | "widehat" => '\u{302}',
        "~" | "tilde" | "widetilde" | "Tilde" => '\u{303}',
        "=" | "bar" => '\u{304}',
        "u" | "breve" => '\u{306}',
        "." | "dot" => '\u{307}',
        "\"" | "ddot" => '\u{308}',
        "r" => '\u{30a}',
        "H" => '\u{30b}',
        "v" | "check" => '\u{30c}',
        "d" => '\u{323}',
        "c" => '\u{327}',
        "k" => '\u{328}',
        "b" => '\u{331}',
        "vec" => '\u{20d7}',
        _ => return None,
    })
}

/// Returns a letter and the combining accent that follows it. The dotless `ı` and `ȷ` become `i` and `j`, because
/// Unicode's accents replace the dot.
pub fn accented(letter: char, mark: char) -> [char; 2] {
    let letter = match letter {
        'ı' => 'i',
        'ȷ' => 'j',
        other => other,
    };
    [letter, mark]
}

/// Returns the blackboard-bold form of a letter that often stands for a set (ℝ) or an expectation (𝔼). Any other letter
/// is returned unchanged.
pub fn font_letter(letter: char) -> char {
    const BOLD: [(char, char); 11] = [
        ('R', 'ℝ'),
        ('N', 'ℕ'),
        ('Z', 'ℤ'),
        ('C', 'ℂ'),
        ('Q', 'ℚ'),
        ('P', 'ℙ'),
        ('H', 'ℍ'),
        ('E', '𝔼'),
        ('F', '𝔽'),
        ('S', '𝕊'),
        ('1', '𝟙'),
    ];
    BOLD.iter().find(|(plain, _)| *plain == letter).map_or(letter, |(_, bold)| *bold)
}

/// Returns the superscript form of a character. `None` if the table has none.
pub fn raised(character: char) -> Option<char> {
    small(character, "0123456789+-=()nidkmtTabcefghjlprsuvwxyz∗", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵈᵏᵐᵗᵀᵃᵇᶜᵉᶠᵍʰʲˡᵖʳˢᵘᵛʷˣʸᶻ*")
}

/// Returns the subscript form of a character. `None` if the table has none.
pub fn lowered(character: char) -> Option<char> {
    small(character, "0123456789+-=()aeijkmnprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑᵢⱼₖₘₙₚᵣₛₜᵤᵥₓ")
}

fn small(character: char, plain: &str, small: &str) -> Option<char> {
    let position = plain.chars().position(|other| other == character)?;
    small.chars().nth(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_sorted_and_small_forms_align() {
        assert!(SYMBOLS.is_sorted_by_key(|(name, _)| *name));
        assert_eq!((symbol("alpha"), symbol("nothing")), (Some("α"), None));
        for (small, last) in [(raised as fn(char) -> Option<char>, '∗'), (lowered, 'x')] {
            assert!(small('0').is_some() && small(last).is_some() && small('Ω').is_none());
        }
    }
}
