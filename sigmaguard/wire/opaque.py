"""Which strings are no text by their looks: identifiers, enums, ciphertext, pictures. Knows no field and no table.

A look is a bounded one, at both ends: what is hidden in the middle of a real picture or of real ciphertext
stays unseen, as it stays unseen to the decoders.
"""

import re
from binascii import Error, a2b_base64

from sigmaguard.check_digits import passes_luhn
from sigmaguard.decoding import legible

SHORT = 15  # characters: no credential and no order fits into an identifier of this length
LONGEST_WORD = 64  # characters of the longest enum; identifiers of known shape may be longer
_LONGEST_ID = 160
_PADDING = 32  # random letters that pad an event; too few to tell from words by their digits
_LOOK = 96  # characters looked at from either end: 72 bytes of base64
# Enums longer than SHORT whose looks would also fit an order with underscores; from the official SDKs' types.
_ENUMS = frozenset(
    """
    advisor_redacted_result advisor_tool_result_error agent_toolset_20260401 application/octet-stream
    apply_patch_call_output bash_code_execution_output bash_code_execution_result bash_code_execution_tool_result
    bash_code_execution_tool_result_error browser_toolset_20260801 chat.completion chat.completion.chunk
    clear_thinking_20251015 clear_tool_uses_20250919 code_execution_20250522 code_execution_20250825
    code_execution_20260120 code_execution_20260521 code_execution_output code_execution_result
    code_execution_tool_result code_execution_tool_result_error code_interpreter_call code_interpreter_call.outputs
    computer_call_output.output.image_url computer_toolset_20260801 container_file_citation content_block_location
    custom_tool_call_output encrypted_code_execution_result file_search_call.results function_call_output
    image_generation_call local_shell_call_output mcp_approval_response mcp_tool_execution_error
    mcp_toolset_reference message.input_image.image_url message.output_text.logprobs programmatic_tool_calling
    reasoning.encrypted_content search_result_location text_editor_code_execution_create_result
    text_editor_code_execution_str_replace_result text_editor_code_execution_tool_result
    text_editor_code_execution_tool_result_error text_editor_code_execution_view_result tool_search_tool_bm25
    tool_search_tool_bm25_20251119 tool_search_tool_regex tool_search_tool_regex_20251119 tool_search_tool_result
    tool_search_tool_result_error tool_search_tool_search_result web_fetch_tool_result web_fetch_tool_result_error
    web_search_2025_08_26 web_search_call.action.sources web_search_call.results web_search_preview_2025_03_11
    web_search_result_location web_search_tool_result web_search_tool_result_error
    application/vnd.openxmlformats-officedocument.wordprocessingml.document
    application/vnd.openxmlformats-officedocument.spreadsheetml.sheet
    application/vnd.openxmlformats-officedocument.presentationml.presentation
    """.split()  # noqa: SIM905  # a table to read, not a list of quotes
)
_WORD = re.compile(r"[A-Za-z0-9_.:/+=\-]++\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/+=@-]{0,127}\Z")
# The protocols' own identifiers (a prefix and one run with digits in it), UUIDs, digests, times
_ID = re.compile(
    r"(?:(?:chatcmpl|cmpl|msg|call|tool|toolu|tooluse|srvtoolu|mcptoolu|resp|req|rs|fc|fco|ctc|ctco|ws|fs|ci|ig|cu|cuo|lsh"
    r"|sh|mcp|mcpl|mcpr|cmp|ap|apc|at|file|vs|cntr|container|conv|batch|msgbatch|modr|run|step|thread|asst|item|fp|gen"
    r"|skill|proj|audio|pmpt|function-call)[-_](?:(?:tool|vrtx|bdrk|call|[0-9]{1,3})[-_])?)?"
    r"(?:(?=[A-Za-z]*[0-9])(?<=[-_])[A-Za-z0-9]++"
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(?:sha256:)?[0-9a-f]++|[0-9A-F]++"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,18}(?:Z|[+-][0-9]{2}:?[0-9]{2})?)\Z"
)
# Both begin with a separator, which the engine skips to at memory speed: `/` is put before the text
_CREDENTIAL = re.compile(
    r"[-_.:/=+](?:gh[opsur]_|github_pat|glpat-|sk-|[srp]k_|whsec_|AKIA|ASIA|AIza|xox[a-z]-|eyJ|hf_|npm_|pypi-"
    r"|dop_v1|shp[a-z]{2}_|ya29|SG\.)"
)
# A person's value that is written like an identifier: a card, an account, a number of the American social security,
# a phone number in international form
_VALUE = re.compile(
    r"(?<![0-9A-Za-z])(?:(?P<card>[2-6](?:[0-9]{11,18}|[0-9]{3}(?:-[0-9]{4}){2}-[0-9]{1,7}|[0-9]{3}-[0-9]{6}-[0-9]{4,5}))"
    r"|(?P<account>[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30})|[0-9]{3}-[0-9]{2}-[0-9]{4}|(?<![^=:])\+[1-9][0-9]{9,14})"
    r"(?![0-9A-Za-z])"
)
_SHORTEST_VALUE = 11  # characters
_RUN = re.compile(r"[0-9][0-9-]{9}")  # what any of these holds and hardly an identifier does: looked for first
_MOMENTS = frozenset({13, 16, 19})  # digits of milli-, micro- and nanoseconds since 1970
LEAST_NUMBER = 10**10  # a JSON number below has fewer digits than any card or account
_FLOATS = 2.0**63  # above, a float names no whole number that anyone wrote down
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SEALED = _BASE64 + b"=-_"
# Six words in a row: one in a thousand real signatures of 5,000 characters has them, and is then inspected
_WORDS = re.compile(r"[-_/+=](?:[A-Za-z]{2,12}[-_/+=]){5}")
_CAPITALS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HEX = re.compile(r"[0-9A-Fa-f]++\Z")
_URL_SAFE = str.maketrans("-_", "+/")
_CONTINUED = bytes(range(0x80, 0xC0))  # a character of UTF-8 that the look at the end cuts in two


def is_word(text: str) -> bool:
    """Whether a string is an enum or an identifier by its looks: short, or of a shape that the protocols use."""
    size = len(text)
    if size > SHORT and text in _ENUMS:
        return True
    if size > _LONGEST_ID or _WORD.match(text) is None:
        return False
    if size >= _SHORTEST_VALUE and _RUN.search(text) and _is_value(text):
        return False
    return size <= SHORT or (
        (size <= 20 or _ID.match(text) is not None) and _CREDENTIAL.search("/" + text) is None and not _spells(text)
    )


def _is_value(text: str) -> bool:
    """Whether a string holds a card, an account or another number of a person, whose check digits are right."""
    for match in _VALUE.finditer(text):
        if match["account"]:
            moved = match["account"][4:] + match["account"][:4]
            if int("".join(str(int(char, 36)) for char in moved)) % 97 == 1:  # ISO 7064, MOD 97-10
                return True
        elif not match["card"] or passes_luhn(match["card"].replace("-", "")):
            return True
    return False


def number_text(number: int | float) -> str:
    """A JSON number as a person would write it: `4111111111111111.0`, as tables export it, is a whole number."""
    return str(int(number) if _names_a_whole(number) else number)


def _names_a_whole(number: int | float) -> bool:
    return type(number) is int or (-_FLOATS < number < _FLOATS and number == int(number))


def is_long(number: int | float) -> bool:
    """Whether a JSON number is long enough to be a card or an account, and is no moment.

    Moments since 1970, in whichever unit, begin with 1 until 2033; no card does (ISO/IEC 7812-1, table 1 has
    airlines there), and logs are full of them.
    """
    if -LEAST_NUMBER < number < LEAST_NUMBER or not _names_a_whole(number):
        return False
    text = number_text(number)
    return not (len(text) in _MOMENTS and text[0] == "1")


def is_model_name(text: str) -> bool:
    """Whether a string can be a model's name, which is as long as providers like."""
    return len(text) <= LONGEST_WORD and _WORD.match(text) is not None and _CREDENTIAL.search("/" + text) is None


def is_name(text: str) -> bool:
    """Whether a string looks like the name of a model or an agent, a cloud's long resource names included."""
    return _NAME.match(text) is not None and _CREDENTIAL.search("/" + text) is None


def is_sealed(text: str) -> bool:
    """Whether a string is ciphertext or a signature: base64 of either alphabet that spells no text."""
    size = len(text)
    if is_word(text):
        return True
    if not text.isascii() or text.encode().translate(None, _SEALED) or _CREDENTIAL.match("/" + text[:_LOOK]):
        return False
    if size <= _PADDING:
        return text.isalnum() and not (text.islower() or text.isupper() or text.isdigit()) and not _spells(text)
    ends = (text[:_LOOK], text[-_LOOK:]) if size > _LOOK else (text,)
    return all(map(_is_mixed, ends)) and _WORDS.search("/" + text) is None and not _spells(text)


def is_binary(text: str, start: int = 0) -> bool:
    """Whether a string is base64 from `start` on, of bytes that spell no text at either end."""
    size = len(text)
    if (size - start) % 4 or not text.isascii():
        return False
    end = size - (2 if text.endswith("==") else 1 if text.endswith("=") else 0)
    # the ends first: a table looks through the middle seven times as fast as decoding it would
    first = _decoded(text[start : start + _LOOK])
    last = _decoded(text[-_LOOK:]) if size - start > _LOOK else b""
    if legible(first):
        return False
    # a PDF's beginning holds bytes that are no text (ISO 32000-1, 7.5.2), its end never does
    if legible(last.lstrip(_CONTINUED)) and not first.startswith(b"%PDF-"):
        return False
    return not text[start:end].encode().translate(None, _BASE64)


def _is_mixed(text: str) -> bool:
    """Capitals, small letters and digits by turns, as no words have them."""
    size, ascii_bytes = len(text), text.encode()
    digits = size - len(ascii_bytes.translate(None, b"0123456789"))
    capitals = size - len(ascii_bytes.translate(None, _CAPITALS))
    return digits * 32 >= size and capitals * 6 >= size and not text.isupper()


def _spells(text: str) -> bool:
    """Whether base64 spells text at either end, or hex from its beginning."""
    digits = text[text.rfind("_") + 1 :] if len(text) <= _LONGEST_ID else text  # an identifier's prefix is not encoded
    if len(digits) >= 16 and _HEX.match(digits) and legible(bytes.fromhex(digits[: min(len(digits) // 2 * 2, _LOOK)])):
        return True
    digits = digits.rstrip("=")
    ends = (digits[:_LOOK], digits[len(digits) // 4 * 4 - _LOOK :] if len(digits) > 2 * _LOOK else "")
    return any(len(piece) >= 16 and legible(_decoded(piece.translate(_URL_SAFE)).lstrip(_CONTINUED)) for piece in ends)


def _decoded(digits: str) -> bytes:
    whole = digits[: len(digits) // 4 * 4]
    try:
        return a2b_base64(whole)
    except (Error, ValueError):
        return b""
