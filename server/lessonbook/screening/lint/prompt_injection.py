"""Words that speak to a model, or to whoever reads its prompt, instead of about code."""

import re
from functools import partial
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.polarity import is_advised, sign

SPEECH: Final = "it speaks to the model instead of about code"
PROBING: Final = "it asks for what a model was told"

_ORDERS: Final = (
    r"(?:i?\w{0,2}nstruct\w*|prompts?|guidelines?|directions?|directives?|commands?|orders?|lessons?|programming"
    r"|training|(?:safety |content )?polic(?:y|ies)|restrictions?|limitations?|conversations?|messages?|context)"
)
_EARLIER: Final = r"(?:previous|prior|above|earlier|preceding|initial|original|your|other|system|safety)"
_SHOW: Final = (
    r"(?:show|reveal|print|output|repeat|display|tell|give|encode|translate|summari[sz]e|spell|list|leak|recite|echo"
    r"|dump|disclose|copy|paste|rephrase|paraphrase|decode|what(?:'s| is| are| were)|write (?:out|down))"
)
_TEXTS: Final = (
    r"(?:sentences?|paragraphs?|poems?|stor(?:y|ies)|essays?|songs?|lyrics|jokes?|haikus?|letters?|tweets?"
    r"|(?:blog )?posts?|headlines?|articles?|speech(?:es)?|raps?|dialogues?|limericks?|captions?|slogans?|recipes?"
    r"|advertisements?|novels?|screenplays?|monologues?)"
)
_REPLY: Final = r"(?:responses?|answers?|repl(?:y|ies)|outputs?|messages?|elucidations?|explanations?|solutions?)"
_TONGUES: Final = (
    r"(?:English|Spanish|French|German|Italian|Portuguese|Dutch|Polish|Russian|Chinese|Mandarin|Japanese|Korean"
    r"|Arabic|Hindi|Turkish|Swedish|Greek|Latin|Hebrew|Ukrainian|Vietnamese|Klingon|Pig Latin)"
)
_START: Final = r"(?:^|[.!?:;\"'*>)\]-]\s*)"


_sign: Final = partial(sign, SPEECH)

_WHAT_WAS_SAID: Final = (
    _sign(
        "ignor disregard forget overrule dismiss aside",
        r"(?<!\bit to )(?<!\bthem to )(?<!\bmodel to )\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget|overrule|dismiss"
        rf"|set aside)\b.{{0,40}}\b{_EARLIER}\b.{{0,30}}\b(?:{_ORDERS}|rules?)",
        rf"\b(?:ignore|disregard|forget)\b.{{0,25}}\b(?:all|any|every|these|those)\b.{{0,20}}\b{_ORDERS}",
        r"\b(?:ignore|disregard|forget)\b.{0,15}\b(?:all|any|these|those) (?:the |of the )?(?:other )?rules\b",
        r"\b(?:ignore|disregard|forget) (?:all |everything |anything |what |whatever )?(?:of )?(?:the )?"
        r"(?:above|rest of|previous|preceding|before|you (?:learned|were|have|know|'ve)|i (?:said|told)"
        r"|was (?:said|written)|(?:the )?user (?:asked|wants|said|wrote|says|asks))\b",
    ),
    _sign(
        "override bypass discard neglect",
        rf"{_START}(?:(?:now|please|and|you must)\s)?(?:override|bypass|discard|neglect)\b.{{0,25}}\b{_EARLIER}\b"
        rf".{{0,30}}\b(?:{_ORDERS}|rules?)",
    ),
    _sign(
        "not don't stop never",
        r"\b(?:do not|don't|stop) (?:follow|obey|adher)\w* .{0,25}\b(?:previous|prior|above|earlier|your|system)\b",
        r"\b(?:do not|don't|stop|never) (?:listen|pay attention|conform|stick|respond|react) to\b.{0,20}"
        r"\b(?:previous|prior|above|earlier|other|anything|any)\b",
        r"\b(?:do not|don't|never|without) (?:tell|inform|mention|alert|warn|notify)(?:ing)?\b.{0,30}"
        r"\b(?:user|human|operator|anyone|reviewer|developer)\b",
    ),
    _sign(
        "instruction from longer",
        r"\bnew instructions?\b|\bfrom (?:now|here) on\b|\bno longer (?:bound|restricted|limited)\b",
    ),
    _sign(
        "above told given said asked instructed",
        r"\b(?:text|words?|sentences?|paragraphs?|everything|anything) (?:written |shown )?above\b"
        r"|\babove (?:text|words?|sentences?|paragraphs?|directions?|instructions?)\b"
        r"|\b(?:told|given|said|asked|instructed) (?:to you )?(?:before|initially|at the (?:start|beginning|top))\b",
    ),
)
_WHO_IT_SHALL_BE: Final = (
    _sign(
        "you",
        r"\byou (?:must now|will now|shall now|now (?:are|have|must|can)|are now|are an? (?:ai|assistant|agent|model"
        r"|chatbot|bot|expert)|are going to|are free|have no (?:rules|limits|restrictions))\b",
        r"(?:^|[.!?:;>)\]*-]\s*)(?:you are|you're|you will|you'll|you have been|you were)\s",
        r"\b(?:want|need|like|ask|order|command|require) you to\b|\byou (?:\w+ ){0,4}act as\b"
        r"|\bimagine (?:that )?you\b",
    ),
    _sign("act", rf"{_START}(?:(?:please|now|just|always|only)\s+)?act as\b|\bin character\b|\bbreak character\b"),
    _sign(
        "ai jailbr anything mode override",
        r"\bas an ai\b|\bjailbr\w+|\bdo anything now\b|\b(?:developer|god|dan|unrestricted) mode (?:is )?"
        r"(?:on|enabled|activated)\b|\b(?:admin\w*|developer|root|system|security|authority) override\b",
    ),
    _sign(
        "pretend role alter persona voice",
        r"\bpretend\b.{0,15}\b(?:to (?:be|have)|that|you|as if)\b|\brole-?\s?play\w*|\bplay the (?:role|part) of\b"
        r"|\balter ego\b|\btake on the (?:role|persona)\b|\bin the voice of\b|\bpersona\s*=",
    ),
)
_WHAT_IT_SHALL_SAY: Final = (
    _sign(
        "your",
        r"\b(?:encode|translate|render|craft|compose|augment|modify|format|begin|start|end|finish|conclude|rephrase"
        r"|reply|answer|respond|incorporate|add|insert|embed|include|introduce|feature|put|represent|write|use|using"
        r"|substitute|replace|rewrite|reverse|place|attach|append|integrate|weave|blend|convey)\b"
        rf".{{0,60}}\byour (?:\w+ )?{_REPLY}\b",
        r"\byour (?:next |own |entire |whole |final |full |first )?(?:answer|reply|replies)\b",
        r"\byour (?:\w+ )?responses?\b(?! (?:headers?|bod(?:y|ies)|schemas?|codes?|status|types?|models?|objects?))",
    ),
    _sign(
        "writ compos creat generat draft produc tell make formulat give craft provid develop",
        rf"\b(?:write|compose|create|generate|draft|produce|tell|make up|formulate|give|craft|provide|develop)\b"
        rf"(?: me| us)? (?:an?|one|two|three|some|the|another|\d+) (?:[\w'-]+ ){{0,3}}{_TEXTS}\b(?! (?:to|with|from)"
        rf" (?:the )?(?:api|server|queue|table))",
    ),
    _sign(
        "translat writ answer respond reply speak say talk",
        rf"\b(?:translat\w+|write|answer|respond|reply|speak|say|talk)\b.{{0,60}}\b(?:in|to|into) {_TONGUES}\b",
        r"\b(?:say|reply|respond|answer)(?: (?:with|only|just|exactly|the (?:word|phrase|text)s?"
        r"|back|out|as|by|saying))*:? [\"'“«][^\"'”»]{2}",
        r"\b(?:reply|respond|answer|speak|talk|write|say it) (?:only |back |just )?(?:in|using|with) (?:reverse|emojis?"
        r"|rhymes?|riddles|code words|all caps|capital letters|anagram\w*|pig latin|base64|rot13|morse)\b",
    ),
    _sign("print output repeat", r"\b(?:print|output|repeat)(?: (?:only|just|exactly))*:? [\"'“«][^\"'”»]{2}"),
    _sign(
        "style pirate emoji word", r"\bin the style of\b|\blike a pirate\b|\b(?:with|in) emojis?\b|\bword for word\b"
    ),
)
_HOW_IT_IS_MARKED: Final = (
    _sign(
        "<", r"</?(?:system|user|assistant|lessons?|instructions?|information|important|admin|prompt|human)\b|<\||<<SYS"
    ),
    _sign(
        "lesson end start begin trusted system instruction untrusted operator note",
        r"(?:[\[{(<]|&lt;|&#60;|\\u003c){1,3}\s?[/#!]?\s?-{0,2}\s?(?:end[ _-]?(?:of)?[ _-]?)?"
        r"(?:lessons?|system|untrusted|instructions?|operator)\b(?! \w+\()",
        r"(?:={3}|-{3}|#{3}|\*{3}|~{3}|<{3}|_{3}|`{3})\s?(?:end|begin|start)[ _-]?(?:of)?\b",
        r"\blessons? #?\d{1,4} ?\(|\b(?:end|start) of (?:the )?(?:lessons|untrusted|trusted)\b|\blessons end\b",
        r"\b(?:operator|security team|maintainer|reviewer|admin)(?:'s)? note\s?:|\btrusted section\b",
        r"\b(?:following|next) (?:rules?|lines?|lessons?) (?:are|is|come) (?:from|reviewed|approved|trusted)\b",
    ),
    _sign("trust", r"[|·,;(\[]\s?trust\s?[:=]\s?\w|\btrust\s?[:=]\s?(?:curated|approved|verified)\b"),
    _sign("[", r"\[/?INST\]|\[(?:system|end|start|begin|insert|admin)\b"),
    _sign("%%% ##", r"%%%|##\s*\(?(?:instruction|system|user)"),
    _sign(
        "prompt",
        r"\b(?:your|insert|my|the user'?s?) prompt\b[^.]{0,12}[\])}]",
        r"\b(?:system|developer|initial"
        r"|original|hidden|secret) prompts?\b.{0,20}(?:[?:]|\bin full\b|\bverbatim\b)",
    ),
    _sign(":", rf"{_START}(?:human|assistant|system|user|admin|ai|chatgpt|gpt|bot)\s?:\s"),
    _sign(
        "urgent important emergency",
        r"\bthis is (?:\w+ ){0,2}(?:urgent|important|an emergency)\b|\bimportant!+"
        r"|\bimportant (?:message|instruction|information)s? (?:from|for|to)\b",
    ),
)
_SIGNS: Final = (*_WHAT_WAS_SAID, *_WHO_IT_SHALL_BE, *_WHAT_IT_SHALL_SAY, *_HOW_IT_IS_MARKED)

_ASKED: Final = lazy_pattern(
    rf"\b{_SHOW}\b.{{0,45}}?\b(?:system (?:prompt|message|instructions?|config\w*)"
    r"|(?:initial|original|hidden|secret|your|previous|first) (?:\w+ )?(?:prompts?|instructions?|guidelines|rules"
    r"|directives?)|initiali[sz]ation string|instructions (?:given|in|above|you)|(?:secret|hidden) (?:word|key))\b",
    re.I,
)
_MODEL: Final = lazy_pattern(r"\b(?:chat-?gpt|gpt-?\d\w*|openai|claude|gemini|bard|llama|copilot|dan)\b", re.I)
_YOU: Final = lazy_pattern(r"\b(?:you|your)\b", re.I)


def speeches(text: str) -> list[str]:
    """Return what in `text` speaks to a model, as parts of a sentence.

    Orders to a model count in any mood, as nobody has to quote them; a request for its prompt counts unless the text
    advises against it.
    """
    lower = text.lower()
    found: list[str] = []
    has_sign = any(one.may_be_in(lower) and one.pattern.search(text) for one in _SIGNS)
    if has_sign or ("you" in lower and _MODEL.search(text) and _YOU.search(text)):
        found.append(SPEECH)
    if is_advised(_ASKED, text):
        found.append(PROBING)
    return found
