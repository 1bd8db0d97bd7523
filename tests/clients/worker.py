"""The library openai as it is published, against gateway and rpc-worker with a small model. Prints `ok NAME` for each case, or for those that are named."""

import json
import os
import sys

import openai

HELLO = [{"role": "user", "content": "Once upon a time there was a small cat"}]
PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PLACE}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": PLACE}}


def client(which):
    return openai.OpenAI(base_url=os.environ["DUET_" + which], api_key=os.environ["DUET_KEY"])


well = client("WELL")


def ask(who=well, **more):
    how = {"model": "e", "messages": HELLO, "max_tokens": 60, "temperature": 0, "seed": 7}
    return who.chat.completions.create(**(how | more))


def said(stream):
    with stream:
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def a_list():
    assert [model.id for model in well.models.list()] == ["e"]


def a_chat():
    answer = ask(max_tokens=5, logprobs=True, top_logprobs=2)
    assert answer.usage.completion_tokens == 5 and answer.choices[0].finish_reason == "length"
    assert len(answer.choices[0].logprobs.content) == 5


def a_stream():
    assert said(ask(stream=True)) == ask().choices[0].message.content


def a_tool():
    answer = ask(tools=[TOOL], tool_choice="required", parallel_tool_calls=False, max_tokens=150)
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "weather" and "city" in json.loads(call.function.arguments)


def a_choice_of_tools():
    how = {"tools": [TOOL], "parallel_tool_calls": False, "max_tokens": 150}
    named = {"type": "function", "function": {"name": "weather"}}
    (call,) = ask(tool_choice=named, **how).choices[0].message.tool_calls
    assert "city" in json.loads(call.function.arguments)
    assert ask(tool_choice="none", **how).choices[0].message.tool_calls is None
    # What it may do it does in a form that can be read.
    free = ask(tool_choice="auto", **how).choices[0]
    assert free.message.content or free.message.tool_calls
    # The answer to a call is gone on with.
    messages = HELLO + [
        {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "It rains."},
    ]
    assert ask(messages=messages, tools=[TOOL], tool_choice="none", max_tokens=5).usage.completion_tokens == 5


def a_streamed_tool():
    how = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 150}
    (call,) = ask(**how).choices[0].message.tool_calls
    chunks = list(ask(stream=True, **how))
    parts = [part for chunk in chunks for part in chunk.choices[0].delta.tool_calls or []]
    assert parts[0].function.name == "weather" and {part.index for part in parts} == {0}
    assert "".join(part.function.arguments for part in parts) == call.function.arguments
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def a_schema():
    assert "city" in json.loads(ask(response_format=SCHEMA, max_tokens=150).choices[0].message.content)
    answer = ask(response_format={"type": "json_object"}, max_tokens=400).choices[0]
    assert answer.message.content.lstrip().startswith("{")
    assert answer.finish_reason == "length" or isinstance(json.loads(answer.message.content), dict)


def a_stop():
    text = ask().choices[0].message.content
    stop = text[10:14]
    answer = ask(stop=[stop, "zebra"]).choices[0]
    assert answer.message.content == text[: text.index(stop)] and answer.finish_reason == "stop"


def a_seed():
    first, again, other = (ask(seed=seed, temperature=1).choices[0].message.content for seed in (3, 3, 4))
    assert first == again != other


def a_completion():
    how = {"model": "e", "prompt": "Once upon a time", "max_tokens": 4, "temperature": 0}
    answer = well.completions.create(**how, logprobs=2)
    assert answer.choices[0].text and answer.usage.completion_tokens == 4
    assert len(answer.choices[0].logprobs.tokens) == 4
    chunks = list(well.completions.create(**how, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == answer.choices[0].text
    assert chunks[-1].usage.completion_tokens == 4


def an_embedding():
    vectors = client("VECTORS").embeddings
    texts = ["A cat sits on the mat.", "Shares fell."]
    plain = vectors.create(model="v", input=texts, encoding_format="float")
    # The library asks for base64 and reads it, where nobody says how.
    packed = vectors.create(model="v", input=texts)
    assert [len(one.embedding) for one in plain.data] == [384, 384] and plain.usage.prompt_tokens > 0
    for one, other in zip(plain.data, packed.data):
        assert all(abs(a - b) < 1e-6 for a, b in zip(one.embedding, other.embedding))
    assert isinstance(vectors.create(model="v", input="x", encoding_format="base64").data[0].embedding, str)


def errors():
    try:
        ask(model="nobody")
        raise SystemExit("a model answered that is none")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found", error
    try:
        ask(messages=[])
        raise SystemExit("no message was taken")
    except openai.BadRequestError as error:
        assert error.param == "messages", error
    try:
        ask(messages=[{"role": "user", "content": "cat " * 20000}])
        raise SystemExit("a long message was taken")
    except openai.BadRequestError as error:
        assert error.code == "context_length_exceeded", error


def a_handover():
    chunks = list(ask(client("BREAKS"), stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ask().choices[0].message.content
    assert len([chunk for chunk in chunks if getattr(chunk, "duet", None)]) == 1
    assert len({chunk.id for chunk in chunks}) == 1


def a_retry():
    assert ask(client("DEAD"), max_tokens=3).usage.completion_tokens == 3


def a_cancel():
    forms = {"type": "array", "items": {"type": "boolean"}, "minItems": 2000, "maxItems": 2000}
    long = {"type": "json_schema", "json_schema": {"name": "list", "schema": forms}}
    stream = ask(response_format=long, max_tokens=10000, stream=True)
    for _, chunk in zip(range(5), stream):
        assert chunk.choices
    stream.close()


CASES = [
    a_list,
    a_chat,
    a_stream,
    a_tool,
    a_choice_of_tools,
    a_streamed_tool,
    a_schema,
    a_stop,
    a_seed,
    a_completion,
    an_embedding,
    errors,
    a_retry,
    a_cancel,
    a_handover,
]

for case in [case for case in CASES if case.__name__ in (sys.argv[1:] or case.__name__)]:
    case()
    print("ok", case.__name__, flush=True)
