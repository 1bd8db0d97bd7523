"""The library openai as it is published, against the gateway. Prints `ok NAME` for each case."""

import os

import openai

KEY = os.environ["DUET_KEY"]
HELLO = [{"role": "user", "content": "hello"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "place", "strict": True, "schema": TOOL["function"]["parameters"]},
}


def client(which, key=KEY, **more):
    return openai.OpenAI(base_url=os.environ["DUET_" + which], api_key=key, **more)


well = client("WELL")


def a_list():
    assert [model.id for model in well.models.list()] == ["calm"]
    assert well.models.retrieve("calm").id == "calm"


def a_chat():
    answer = well.chat.completions.create(model="calm", messages=HELLO, max_tokens=3)
    assert answer.choices[0].message.content == "word0 word1 word2 "
    assert answer.usage.completion_tokens == 3
    assert answer._request_id


def a_stream():
    with well.chat.completions.create(model="calm", messages=HELLO, stream=True) as stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == "word0 word1 word2 word3 word4 ", text
    options = {"include_usage": True}
    chunks = list(well.chat.completions.create(model="calm", messages=HELLO, stream=True, stream_options=options))
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 8


def a_tool():
    answer = well.chat.completions.create(model="calm", messages=HELLO, tools=[TOOL], tool_choice="required")
    call = answer.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Bonn"}')
    chunks = list(well.chat.completions.create(model="calm", messages=HELLO, tools=[TOOL], stream=True))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert calls[0].function.name == "weather"


def a_schema():
    answer = well.chat.completions.create(model="calm", messages=HELLO, response_format=SCHEMA)
    assert answer.choices[0].message.content == '{"city":"Bonn"}'


def a_completion():
    answer = well.completions.create(model="calm", prompt="hello", max_tokens=2)
    assert answer.choices[0].text == "word0 word1 "


def an_embedding():
    for how in ["float", openai.NOT_GIVEN]:
        answer = well.embeddings.create(model="calm", input="hello", encoding_format=how)
        assert list(answer.data[0].embedding) == [1.0, 2.0, 3.0]
    # Who names base64 gets it as it is.
    answer = well.embeddings.create(model="calm", input="hello", encoding_format="base64")
    assert answer.data[0].embedding == "AACAPwAAAEAAAEBA"


def errors():
    try:
        client("WELL", key="duet-wrong").models.list()
        raise SystemExit("a wrong key was taken")
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key", error
    try:
        well.chat.completions.create(model="calm", messages=[])
        raise SystemExit("no message was taken")
    except openai.BadRequestError as error:
        assert error.param == "messages", error
    try:
        client("ALONE").chat.completions.create(model="calm", messages=HELLO)
        raise SystemExit("a model was found that nobody serves")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found", error


def limits():
    limited = client("LIMITED", max_retries=0)
    limited.chat.completions.create(model="calm", messages=HELLO)
    try:
        limited.chat.completions.create(model="calm", messages=HELLO)
        raise SystemExit("a limit was passed")
    except openai.RateLimitError as error:
        assert error.code == "rate_limit_exceeded", error


def a_retry():
    answer = client("FULL_ONCE").chat.completions.create(model="calm", messages=HELLO)
    assert answer.choices[0].finish_reason == "stop"


def a_break():
    try:
        list(client("BREAKS").chat.completions.create(model="calm", messages=HELLO, stream=True))
        raise SystemExit("a broken stream looked whole")
    except openai.APIError as error:
        assert "lost" in error.message, error


def a_cancel():
    stream = client("ENDLESS").chat.completions.create(model="calm", messages=HELLO, stream=True)
    for _, chunk in zip(range(10), stream):
        assert chunk.choices
    stream.close()


for case in [
    a_list,
    a_chat,
    a_stream,
    a_tool,
    a_schema,
    a_completion,
    an_embedding,
    errors,
    limits,
    a_retry,
    a_break,
    a_cancel,
]:
    case()
    print("ok", case.__name__, flush=True)
