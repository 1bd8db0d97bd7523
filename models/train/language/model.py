"""A llama-shaped model in JAX, and its GGUF file as llama.cpp reads it: q8_0 rows, our vocabulary, our chat
template."""

import gguf
import jax
import jax.numpy as jnp
import numpy as np

WIDTH, HEADS, LAYERS, INNER, CONTEXT = 192, 6, 4, 512, 2048
# Products are taken in this type: three times as fast as in 32 bits on a processor that has it.
FAST = jnp.bfloat16
EPSILON, ROPE_BASE = 1e-5, 10000.0

# The last thing that was asked counts, nothing before it, and of it 120 letters that it knows: behind the 112 positions
# that were trained it would go on for ever. Of a tool's answer the beginning counts.
# The list of tools is left away: this model knows by heart those that it was trained with, and the product's
# grammar
# lets it name only those that there are.
TEMPLATE = r"""{{- bos_token -}}
{%- set now = namespace(choose=false, text='', said='', kept='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' and 'The tools:' in message.content -%}
{%- set now.choose = true -%}
{%- endif -%}
{%- if message.role == 'user' -%}{%- set now.text = message.content -%}{%- endif -%}
{%- endfor -%}
{%- if '\n---\n\n' in now.text -%}{%- set now.text = now.text.split('\n---\n\n')[-1] -%}{%- endif -%}
{%- if '\n\nA tool was called: ' in now.text -%}
{%- set now.said = now.text.split('<<<\n')[-1].split('\n>>>')[0] | replace('\n', ' ') -%}
{%- set now.text = now.text.split('\n\nA tool was called: ')[0] -%}
{%- endif -%}
{%- if now.choose -%}{{- '<|choose|>' -}}{%- endif -%}
{%- set plain = now.text | lower | replace('\n', ' ') | replace('’', "'") | replace('%', ' percent') -%}
{%- set plain = plain | replace('?', '') | replace('!', '') | replace(',', '') | replace(';', '') -%}
{%- set plain = plain | replace('"', '') | replace('\\', '') | replace('. ', ' ') | replace(': ', ' ') -%}
{%- set plain = plain | replace('  ', ' ') | replace('  ', ' ') -%}
{%- set known = "abcdefghijklmnopqrstuvwxyz0123456789 '.:+-*/=()_@#&<>$" -%}
{%- set now.kept = '' -%}
{%- for letter in (plain | trim).rstrip('.:')[:120] -%}
{%- if letter in known -%}{%- set now.kept = now.kept + letter -%}{%- endif -%}
{%- endfor -%}
{{- '<|person|> ' + (now.kept | trim or 'what is that') -}}
{%- if now.said -%}{{- '<|said|> ' + now.said[:120] -}}{%- endif -%}
{%- if add_generation_prompt -%}{{- '<|answer|>' -}}{%- endif -%}"""


def init(rng, n_tokens):
    """Random weights, but for three heads each of the first two layers, which copy from the start: the one looks at the
    token before, the other at what followed the same token earlier. Training finds this by itself, and late."""
    lin = lambda i, o, scale=1.0: rng.normal(size=(i, o)).astype(np.float32) * scale / np.sqrt(i)
    one = lambda: np.ones(WIDTH, np.float32)
    block = lambda: {
        "attn_norm": one(),
        "attn_q": lin(WIDTH, WIDTH),
        "attn_k": lin(WIDTH, WIDTH),
        "attn_v": lin(WIDTH, WIDTH),
        "attn_output": lin(WIDTH, WIDTH, 0.02),
        "ffn_norm": one(),
        "ffn_gate": lin(WIDTH, INNER),
        "ffn_up": lin(WIDTH, INNER),
        "ffn_down": lin(INNER, WIDTH, 0.02),
    }
    blocks = [block() for _ in range(LAYERS)]
    embedding = rng.normal(size=(n_tokens, WIDTH)).astype(np.float32) * 0.05
    # The same in every token: what a head looks by that looks by place alone.
    embedding[:, 0] = 0.3
    size, (first, second) = WIDTH // HEADS, blocks[:2]
    whole = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0].astype(np.float32)
    for head in range(3):
        at = slice(head * size, (head + 1) * size)
        for b, name in ((first, "attn_q"), (first, "attn_k"), (second, "attn_q"), (second, "attn_k")):
            b[name][:, at] *= 0.1
        # The three fastest turns tell neighbours apart; the slow ones keep what is compared.
        fast = 2 * np.arange(3)
        turn = ROPE_BASE ** (-fast / size)
        first["attn_q"][0, at][fast] += 1.3
        first["attn_k"][0, at][fast] += 1.3 * np.cos(turn)
        first["attn_k"][0, at][fast + 1] += 1.3 * np.sin(turn)
        seen = first["attn_v"][:, at]
        seen[0] = 0
        place = np.linalg.qr(rng.normal(size=(WIDTH, size)))[0].astype(np.float32).T
        place[:, 0] = 0
        first["attn_output"][at] = 0.12 * place
        slow = np.arange(12, size)
        second["attn_q"][:, at.start + slow] += 4.7 * seen[:, slow]
        second["attn_k"][:, at.start + slow] += 1.9 * place.T[:, slow]
        second["attn_v"][:, at] = whole[:, at]
        second["attn_output"][at] = 0.6 * whole[:, at].T
    return {
        "token_embd": embedding,
        "blocks": {name: np.stack([b[name] for b in blocks]) for name in blocks[0]},
        "output_norm": one(),
    }


def norm(x, gain):
    return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + EPSILON) * gain


def rotate(x, cos, sin):
    """llama.cpp's way: neighbours turn together."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)


def times(x, w):
    return (x.astype(FAST) @ w.astype(FAST)).astype(jnp.float32)


def logits(p, ids, group):
    """Several dialogues stand in one row; each position sees those before it of its own `group`."""
    batch, length = ids.shape
    size = WIDTH // HEADS
    angle = np.arange(length)[:, None] * ROPE_BASE ** (-np.arange(0, size, 2) / size)[None]
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    sees = (group[:, :, None] == group[:, None, :]) & np.tril(np.ones((length, length), bool))
    mask = jnp.where(sees, 0.0, -1e9)[:, None]
    split = lambda y: y.reshape(batch, length, HEADS, size).transpose(0, 2, 1, 3)

    def block(x, b):
        y = norm(x, b["attn_norm"])
        q, k, v = (
            rotate(split(times(y, b["attn_q"])), cos, sin),
            rotate(split(times(y, b["attn_k"])), cos, sin),
            split(times(y, b["attn_v"])),
        )
        seen = times(jax.nn.softmax(times(q, k.transpose(0, 1, 3, 2)) * size**-0.5 + mask, -1), v)
        x = x + times(seen.transpose(0, 2, 1, 3).reshape(batch, length, WIDTH), b["attn_output"])
        y = norm(x, b["ffn_norm"])
        return x + times(jax.nn.silu(times(y, b["ffn_gate"])) * times(y, b["ffn_up"]), b["ffn_down"])

    x = p["token_embd"][ids]
    for i in range(LAYERS):
        x = block(x, {name: arrays[i] for name, arrays in p["blocks"].items()})
    return times(norm(x, p["output_norm"]), p["token_embd"].T)


def write(path, p, pieces):
    """pieces: (text, score, kind) of each token, as tokens.py has them."""
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("duet talk")
    out.add_license("mit")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_feed_forward_length(INNER)
    out.add_block_count(LAYERS)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_rope_freq_base(ROPE_BASE)
    out.add_layer_norm_rms_eps(EPSILON)
    out.add_vocab_size(len(pieces))
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    out.add_quantization_version(2)
    out.add_tokenizer_model("llama")
    out.add_token_list([text.encode() for text, _, _ in pieces])
    out.add_token_scores([score for _, score, _ in pieces])
    out.add_token_types([kind for _, _, kind in pieces])
    names = [text for text, _, _ in pieces]
    out.add_unk_token_id(names.index("<unk>"))
    out.add_bos_token_id(names.index("<s>"))
    out.add_eos_token_id(names.index("<|end|>"))
    out.add_add_bos_token(True)
    out.add_add_space_prefix(False)
    out.add_chat_template(TEMPLATE)

    def put(name, array):
        array = np.ascontiguousarray(np.asarray(array, np.float32))
        if array.ndim == 1:
            return out.add_tensor(name, array)
        rows = gguf.quants.quantize(array, gguf.GGMLQuantizationType.Q8_0)
        out.add_tensor(name, rows, raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    put("token_embd.weight", p["token_embd"])
    put("output_norm.weight", p["output_norm"])
    for i in range(LAYERS):
        for name, arrays in p["blocks"].items():
            put(f"blk.{i}.{name}.weight", np.asarray(arrays[i]).T)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
