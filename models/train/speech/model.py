"""A whisper-shaped model in JAX: 4 encoder layers, 2 decoder layers, any width; plus a CTC head that is used
in training only.

The log-mel and the shapes follow whisper.cpp, so that export.py can write a ggml file without any change of
values.
Convolutions are written as unfold and matrix product, which XLA runs much faster on a CPU.
"""

import struct

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft

N_VOCAB, EOT, SOT, NO_TIMESTAMPS = 51864, 50256, 50257, 50362
N_MEL, ENC_LAYERS, DEC_LAYERS, TEXT_CTX = 80, 4, 2, 64
HOP, SAMPLES_PER_CTX = 160, 320


def ggml_head(path):
    """Mel filters, tokens and the raw bytes (filters and vocabulary) of a ggml whisper file."""
    data = open(path, "rb").read()
    n_mel, n_fft = struct.unpack_from("<2i", data, 48)
    at = 56 + 4 * n_mel * n_fft
    filters = np.frombuffer(data, np.float32, n_mel * n_fft, 56).reshape(n_mel, n_fft)
    (n_tokens,) = struct.unpack_from("<i", data, at)
    at += 4
    tokens = []
    for _ in range(n_tokens):
        (length,) = struct.unpack_from("<i", data, at)
        tokens.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return filters, tokens, data[48:at]


def sinusoids(length, n):
    scale = np.exp(-np.log(10000) / (n // 2 - 1) * np.arange(n // 2))
    angle = np.arange(length)[:, None] * scale[None]
    return np.concatenate([np.sin(angle), np.cos(angle)], 1).astype(np.float32)


WINDOW = np.hanning(401)[:-1].astype(np.float32)


def log_mel(pcm, ctx, filters, eq=None):
    """pcm as float32 of any length up to the window; zeros follow, as in whisper.cpp. Returns (2 * ctx,
    80)."""
    n = 2 * ctx
    buf = np.zeros(n * HOP + 400, np.float32)
    buf[200 : 200 + len(pcm)] = pcm[: n * HOP + 200]
    buf[:200] = buf[400:200:-1]
    frames = np.lib.stride_tricks.sliding_window_view(buf, 400)[::HOP][:n] * WINDOW
    spectrum = scipy.fft.rfft(frames, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    mel = np.log10(np.maximum(power @ filters.T, 1e-10))
    if eq is not None:
        mel = mel + eq
    return ((np.maximum(mel, mel.max() - 8) + 4) / 4).astype(np.float32)


def local_attention(n, n_head, offsets, strength):
    """Query and key start so that head h looks at the place offsets[h] away: the key turns the sinusoids by
    that distance.

    The sinusoids hold sin in the first half and cos in the second; one head reads the fastest n / n_head / 2
    of each.
    """
    pairs = n // n_head // 2
    rate = np.exp(-np.log(10000) / (n // 2 - 1) * np.arange(pairs))
    query, key = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    k = np.arange(pairs)
    for h, offset in enumerate(offsets):
        at = h * 2 * pairs
        query[k, at + k] = query[n // 2 + k, at + pairs + k] = strength
        cos, sin = strength * np.cos(rate * offset), strength * np.sin(rate * offset)
        key[k, at + k], key[n // 2 + k, at + k] = cos, -sin
        key[k, at + pairs + k], key[n // 2 + k, at + pairs + k] = sin, cos
    return query, key


def init(rng, n, n_rows, n_ctc, n_head=None):
    def lin(i, o, scale=1.0, bias=True):
        w = rng.normal(size=(i, o)).astype(np.float32) * scale / np.sqrt(i)
        return {"w": w, "b": np.zeros(o, np.float32)} if bias else {"w": w}

    def norm():
        return {"g": np.ones(n, np.float32), "b": np.zeros(n, np.float32)}

    def attn(scale):
        return {"query": lin(n, n), "key": lin(n, n, bias=False), "value": lin(n, n), "out": lin(n, n, scale)}

    def block(scale, cross):
        p = {
            "attn": attn(scale),
            "attn_ln": norm(),
            "mlp1": lin(n, 4 * n),
            "mlp2": lin(4 * n, n, scale),
            "mlp_ln": norm(),
        }
        return p | {"cross_attn": attn(scale), "cross_attn_ln": norm()} if cross else p

    enc = [block(0.7, False) for _ in range(ENC_LAYERS)]
    if n_head:
        for i, b in enumerate(enc):
            step = 2 + i
            offsets = [step * (h - (n_head - 1) / 2) for h in range(n_head)]
            query, key = local_attention(n, n_head, offsets, 1.3)
            b["attn"]["query"]["w"] = query + 0.2 * b["attn"]["query"]["w"]
            b["attn"]["key"]["w"] = key + 0.2 * b["attn"]["key"]["w"]
    return {
        "conv1": lin(3 * N_MEL, n, 1.4),
        "conv2": lin(3 * n, n, 1.4),
        "enc": enc,
        "ln_post": norm(),
        "dec": [block(0.5, True) for _ in range(DEC_LAYERS)],
        "ln": norm(),
        "pos": rng.normal(size=(TEXT_CTX, n)).astype(np.float32) * 0.02,
        "emb": rng.normal(size=(n_rows, n)).astype(np.float32) * 0.05,
        "ctc": lin(n, n_ctc),
    }


def linear(x, p):
    y = x @ p["w"]
    return y + p["b"] if "b" in p else y


def layer_norm(x, p):
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(var + 1e-5) * p["g"] + p["b"]


def gelu(x):
    return jax.nn.gelu(x, approximate=True)  # ggml uses the tanh form too


def attention(x, source, p, n_head, mask=None):
    b, t, n = x.shape
    split = lambda y: y.reshape(b, y.shape[1], n_head, n // n_head).transpose(0, 2, 1, 3)
    q, k, v = split(linear(x, p["query"])), split(linear(source, p["key"])), split(linear(source, p["value"]))
    score = (q @ k.transpose(0, 1, 3, 2)) * (n // n_head) ** -0.5
    if mask is not None:
        score = score + mask
    out = jax.nn.softmax(score, -1) @ v
    return linear(out.transpose(0, 2, 1, 3).reshape(b, t, n), p["out"])


def mlp(x, p):
    return linear(gelu(linear(layer_norm(x, p["mlp_ln"]), p["mlp1"])), p["mlp2"])


def unfold(x, stride):
    t = x.shape[1]
    x = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
    return jnp.concatenate([x[:, i : i + t : stride] for i in range(3)], -1)


def encode(p, mel, n_head, sinus):
    x = gelu(linear(unfold(mel, 1), p["conv1"]))
    x = gelu(linear(unfold(x, 2), p["conv2"]))
    x = x + sinus[: x.shape[1]]
    for block in p["enc"]:
        y = layer_norm(x, block["attn_ln"])
        x = x + attention(y, y, block["attn"], n_head)
        x = x + mlp(x, block)
    return layer_norm(x, p["ln_post"])


def decode(p, rows, audio, n_head):
    t = rows.shape[1]
    x = p["emb"][rows] + p["pos"][:t]
    mask = jnp.triu(jnp.full((t, t), -1e9, jnp.float32), 1)
    for block in p["dec"]:
        y = layer_norm(x, block["attn_ln"])
        x = x + attention(y, y, block["attn"], n_head, mask)
        x = x + attention(layer_norm(x, block["cross_attn_ln"]), audio, block["cross_attn"], n_head)
        x = x + mlp(x, block)
    n_rows = p["emb"].shape[0]
    logits = layer_norm(x, p["ln"]) @ p["emb"].T
    # the last row stands for every token that is never used, so it counts that many times
    return logits + jnp.where(jnp.arange(n_rows) == n_rows - 1, float(np.log(N_VOCAB - n_rows + 1)), 0.0)


def ctc_loss(logits, labels, frames):
    """labels: (B, L) padded with 0 (= blank); frames: how many encoder positions count. Log-space forward
    pass."""
    b, length = labels.shape
    logp = jax.nn.log_softmax(logits, -1)
    ext = jnp.zeros((b, 2 * length + 1), jnp.int32).at[:, 1::2].set(labels)
    skip = jnp.where((ext != 0) & (ext != jnp.roll(ext, 2, 1)), 0.0, -1e5).at[:, :2].set(-1e5)
    onehot = jax.nn.one_hot(ext, logits.shape[-1], dtype=jnp.float32)
    emit = jnp.einsum("btc,bsc->tbs", logp, onehot)
    shift = lambda a, k: jnp.pad(a, ((0, 0), (k, 0)), constant_values=-1e5)[:, : a.shape[1]]
    first = jnp.full(ext.shape, -1e5).at[:, :2].set(emit[0, :, :2])

    def step(alpha, inputs):
        e, t = inputs
        stack = jnp.stack([alpha, shift(alpha, 1), shift(alpha, 2) + skip])
        top = jax.lax.stop_gradient(stack.max(0))
        new = top + jnp.log(jnp.exp(stack - top).sum(0)) + e
        return jnp.where((t < frames)[:, None], new, alpha), None

    alpha, _ = jax.lax.scan(step, first, (emit[1:], jnp.arange(1, emit.shape[0])))
    n = (labels != 0).sum(1)
    last = jnp.take_along_axis(alpha, 2 * n[:, None], 1)[:, 0]
    before = jnp.take_along_axis(alpha, 2 * n[:, None] - 1, 1)[:, 0]
    return -jnp.logaddexp(last, before) / n
