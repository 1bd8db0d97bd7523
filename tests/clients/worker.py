"""The library openai as it is published, against gateway and rpc-worker with a small model. Prints `ok NAME` for each case."""

import json
import os

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


def a_schema():
    assert "city" in json.loads(ask(response_format=SCHEMA, max_tokens=150).choices[0].message.content)


def a_completion():
    answer = well.completions.create(model="e", prompt="Once upon a time", max_tokens=4, temperature=0)
    assert answer.choices[0].text and answer.usage.completion_tokens == 4


def errors():
    try:
        ask(messages=[])
        raise SystemExit("no message was taken")
    except openai.BadRequestError as error:
        assert error.param == "messages", error
    try:
        ask(messages=[{"role": "user", "content": "cat " * 1000}])
        raise SystemExit("a long message was taken")
    except openai.BadRequestError as error:
        assert error.code == "context_length_exceeded", error


def a_handover():
    chunks = list(ask(client("BREAKS"), stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ask().choices[0].message.content
    assert len([chunk for chunk in chunks if getattr(chunk, "duet", None)]) == 1
    assert len({chunk.id for chunk in chunks}) == 1


for case in [a_list, a_chat, a_stream, a_tool, a_schema, a_completion, errors, a_handover]:
    case()
    print("ok", case.__name__, flush=True)
