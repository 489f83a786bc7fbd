"""Writes bleu.json: what sacrebleu says of small corpora, for `tests/tests/training/golden_bleu.rs` to compare with.

    python tests/golden/bleu.py                # needs sacrebleu; 2.6.0 wrote the committed file

A corpus is a name, hypotheses, references, and whether case is folded. They are made so that each rule shows: punctuation
at every place, numbers with commas, stops and dashes, entities, all ASCII symbols, white space of several kinds, other
scripts, empty sentences, corpora without a long n-gram, without a match, too short and too long.
"""

import json
import random
from pathlib import Path

import sacrebleu

HERE = Path(__file__).resolve().parent

PLAIN = [
    ("The cat sat on the mat.", "The cat is sitting on the mat."),
    ("A man in an orange hat starring at something.", "A man in an orange hat is staring at something."),
    ("People are fixing the roof of a house.", "People fixing the roof of a house."),
    ("the the the the the the the", "The cat is on the mat"),
]
NUMBERS = [
    ("It cost $1,000.50, not 1.000,50 - or 3-4 of 10-12.", "It cost $1,000.50, not 1.000,50 or 3-4 of 10 - 12."),
    ("Pi is 3.14159.. or .5 or 5. or ,5", "Pi is 3.14159... or .5 or 5. or , 5"),
    ("2021-03-03, 03/03/21; 12:30", "2021-03-03, 3/3/21; 12:30"),
    ("1.,2 a.,b 3.a a.3 ..", "1. ,2 a., b 3. a a .3 . ."),
]
SYMBOLS = [
    ("a!b\"c#d$e%f&g'h(i)j*k+l,m-n.o/p", "a ! b \" c # d $ e % f & g'h ( i ) j * k + l , m-n . o / p"),
    ("0:1;2<3=4>5?6@7[8\\9]0^1_2`3{4|5}6~7", "0 : 1 ; 2 < 3 = 4 > 5 ? 6 @ 7 [ 8 \\ 9 ] 0 ^ 1 _ 2 ` 3 { 4 | 5 } 6 ~ 7"),
    ("&quot;Tom &amp; Jerry&quot; &lt;3 &gt; &amp;lt; <skipped>!", "\"Tom & Jerry\" <3 > &lt; !"),
    ("well-known co-\nop it's o'clock rock'n'roll", "well-known coop it's o' clock rock'n'roll"),
]
UNICODE = [
    ("Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.", "Zwölf Boxkämpfer jagen Viktor über den grossen Sylter Deich."),
    ("«Привет», сказал он — и ушёл…", "« Привет » , сказал он — и ушел …"),
    ("我喜欢 机器 翻译。 Ω≈ç√ 🎉🎉", "我喜欢 机器 翻译 。 Ω≈ç√ 🎉 🎉"),
    ("a\u00a0b\u2003c\u3000d\u001ce\u200bf  g\th ", "a b c d e f g h"),
    ("İSTANBUL ΣΊΣΥΦΟΣ STRASSE ǅ", "i̇stanbul σίσυφος straße ǆ"),
]
EMPTY = [("", "There is nothing here ."), ("Something is here now .", ""), ("", ""), ("one two three four five", "one two three four six")]
SHORT = [("a b c", "a b c d e f"), ("d e f", "d e f g h i"), ("x", "x y")]
LONG = [("a b c d e f g h i j k l", "a b c d"), ("m n o p q r", "m n o p")]
NO_FOUR = [("a b c x d e f", "a b c y d e f"), ("g h z i j", "g h w i j")]
NO_TWO = [("b a d c f e", "a b c d e f"), ("h g", "g h")]
NOTHING = [("x y z w", "a b c d"), ("q", "r")]
THREES = [("a b c", "a b c"), ("d e f", "d e f")]


def noise(count: int) -> list[tuple[str, str]]:
    """Sentences of random pieces, the hypothesis being the reference with some pieces changed."""
    draw = random.Random(7)
    pieces = ["the", "The", "a", "man", "dog,", "3,5", "2.", "-", "7-8", "'s", "(x)", "é", "...", ".", "no.1", "1.a", "!?", "&amp;"]
    pairs = []
    for _ in range(count):
        reference = [draw.choice(pieces) for _ in range(draw.randint(1, 25))]
        hypothesis = [draw.choice(pieces) if draw.random() < 0.15 else p for p in reference if draw.random() > 0.05]
        join = draw.choice([" ", " ", ""])
        pairs.append((join.join(hypothesis), join.join(reference)))
    return pairs


CORPORA = {
    "plain": PLAIN,
    "numbers": NUMBERS,
    "symbols": SYMBOLS,
    "unicode": UNICODE,
    "empty": EMPTY,
    "short": SHORT,
    "long": LONG,
    "no_fourgram": NO_FOUR,
    "no_bigram": NO_TWO,
    "no_match": NOTHING,
    "threes": THREES,
    "nothing_said": [("", "a b c d"), ("", "e")],
    "no_reference": [("a b c d", ""), ("e", "")],
    "noise": noise(200),
    "all": PLAIN + NUMBERS + SYMBOLS + UNICODE + EMPTY + SHORT + LONG,
}


def main():
    cases = []
    for name, pairs in CORPORA.items():
        hypotheses, references = [h for h, _ in pairs], [r for _, r in pairs]
        for lowercase in (False, True):
            metric = sacrebleu.metrics.BLEU(lowercase=lowercase, force=True)
            score = metric.corpus_score(hypotheses, [references])
            cases.append({
                "name": name + ("_lower" if lowercase else ""),
                "lowercase": lowercase,
                "hypotheses": hypotheses,
                "references": references,
                "score": score.score,
                "precisions": score.precisions,
                "matches": score.counts,
                "totals": score.totals,
                "bp": score.bp,
                "hypothesis_tokens": score.sys_len,
                "reference_tokens": score.ref_len,
                "printed": str(score),
            })
            signature = str(metric.get_signature())
            assert "tok:13a|smooth:exp" in signature, signature
    path = HERE / "bleu.json"
    content = {"sacrebleu": sacrebleu.__version__, "cases": cases}
    path.write_text(json.dumps(content, ensure_ascii=True, indent=1) + "\n")
    print(f"{path.name}: {len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
