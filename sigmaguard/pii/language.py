"""Whether a text is German or English: a vote of its commonest words. Knows words, loads no model."""

import re

_UMLAUT = re.compile("[äöüßÄÖÜ]")
_WORD = re.compile(r"[^\W\d_]+")
_GERMAN_WORDS = """
der die das und ist nicht ein eine ich sie wir er es mit den dem des von zu im in auf für an als auch bei aus
nach wie aber oder wenn noch nur hat haben sind wird werden wurde kann bitte mein meine ihr ihre ihnen uns
dass sich einen einem einer über zum zur vom am um hallo frau herr herrn liebe lieber sehr geehrte geehrter
grüße danke war was wer wo warum wann heute morgen gestern name kunde rechnung straße betreff dr geb kannst
mir mich dir dich
"""
_ENGLISH_WORDS = """
the and is are was were not a an i you he she it we they with of to in on for at by from as also but or if
still only has have had will would can could please my your his her our their this that these those dear
regards thanks hello hi what who where why when today tomorrow yesterday name customer invoice street subject
mr mrs ms me us be been there which how do does did about into than then
"""
_OPENING_WORDS = """
yes no ok okay well now then here there all any some each every both more most many much such other another
one two three first second next last also just even still yet once again always never often sometimes maybe
perhaps however therefore because while although though since until unless before after during without within
between under over above below write explain give show list make create find get use add remove change check
compare describe summarize translate tell let see read run set put take go come help need want know think try
start stop open close call send ask answer return fix update build test rewrite generate consider note
remember imagine suppose given using based according should could may might must shall being having doing made
done good great best better new old same different note warning error example answer question solution problem
result summary step steps part section table figure
"""
_GERMAN = frozenset(_GERMAN_WORDS.split())
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
# words a sentence begins with that are no name in any of the two
COMMON = _GERMAN | _ENGLISH | frozenset(_OPENING_WORDS.split())
LOOKED_AT = 200  # words: more do not change the vote


def language(text: str) -> str:
    """`de`, `en`, or an empty string where nothing tells."""
    german = english = 0
    for count, match in enumerate(_WORD.finditer(text)):
        if count >= LOOKED_AT:
            break
        word = match[0].lower()
        # `in`, `an`, `was`, `name` stand in both lists and cancel out
        german += word in _GERMAN or (not word.isascii() and _UMLAUT.search(word) is not None)
        english += word in _ENGLISH
    if german == english:
        return ""
    return "de" if german > english else "en"
