"""A llama-shaped model in JAX, and its GGUF file as llama.cpp reads it: q8_0 rows, our vocabulary, our chat
template."""

import gguf
import jax
import jax.numpy as jnp
import numpy as np

WIDTH, HEADS, LAYERS, INNER, CONTEXT = 128, 4, 4, 384, 512
EPSILON, ROPE_BASE = 1e-5, 10000.0

# The last thing that was asked counts, nothing before it; of a tool's answer the beginning.
# The list of tools is left away: this model knows by heart those that it was trained with, and the product's
# grammar
# lets it name only those that there are.
TEMPLATE = r"""{{- bos_token -}}
{%- set now = namespace(choose=false, text='', said='') -%}
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
{%- set plain = now.text | lower | replace('\n', ' ') | replace('?', '') | replace('!', '') | replace('. ', ' ') -%}
{{- '<|person|> ' + (plain | trim).rstrip('.')[:200] -}}
{%- if now.said -%}{{- '<|said|> ' + now.said[:200] -}}{%- endif -%}
{%- if add_generation_prompt -%}{{- '<|answer|>' -}}{%- endif -%}"""


def init(rng, n_tokens):
    lin = lambda i, o, scale=1.0: rng.normal(size=(i, o)).astype(np.float32) * scale / np.sqrt(i)
    one = lambda: np.ones(WIDTH, np.float32)
    deep = 1 / np.sqrt(2 * LAYERS)
    block = lambda: {
        "attn_norm": one(),
        "attn_q": lin(WIDTH, WIDTH),
        "attn_k": lin(WIDTH, WIDTH),
        "attn_v": lin(WIDTH, WIDTH),
        "attn_output": lin(WIDTH, WIDTH, deep),
        "ffn_norm": one(),
        "ffn_gate": lin(WIDTH, INNER),
        "ffn_up": lin(WIDTH, INNER),
        "ffn_down": lin(INNER, WIDTH, deep),
    }
    blocks = [block() for _ in range(LAYERS)]
    return {
        "token_embd": rng.normal(size=(n_tokens, WIDTH)).astype(np.float32) * 0.05,
        "blocks": {name: np.stack([b[name] for b in blocks]) for name in blocks[0]},
        "output_norm": one(),
    }


def norm(x, gain):
    return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + EPSILON) * gain


def rotate(x, cos, sin):
    """llama.cpp's way: neighbours turn together."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)


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
            rotate(split(y @ b["attn_q"]), cos, sin),
            rotate(split(y @ b["attn_k"]), cos, sin),
            split(y @ b["attn_v"]),
        )
        seen = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) * size**-0.5 + mask, -1) @ v
        x = x + seen.transpose(0, 2, 1, 3).reshape(batch, length, WIDTH) @ b["attn_output"]
        y = norm(x, b["ffn_norm"])
        return x + (jax.nn.silu(y @ b["ffn_gate"]) * (y @ b["ffn_up"])) @ b["ffn_down"], None

    # One block compiled once; the weights of all lie behind each other.
    x, _ = jax.lax.scan(block, p["token_embd"][ids], p["blocks"])
    return norm(x, p["output_norm"]) @ p["token_embd"].T


def write(path, p, pieces):
    """pieces: (text, score, kind) of each token, as tokens.py has them."""
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("duet small talk")
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
