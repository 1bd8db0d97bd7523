"""Reads and writes whisper.cpp's model files: f16 or f32 in, q8_0 out; the values of model.py and nothing
else change.

usage: ggml.py --model W/model.pkl --head GGML --out model-q8_0.bin
GGML gives the mel filters and the vocabulary of whisper; no weight is taken from it.
"""

import argparse
import pickle
import struct

import model as M
import numpy as np

MAGIC, F32, F16, Q8_0, BLOCK = 0x67676D6C, 0, 1, 8, 32
KEEP_F32 = ("conv1.bias", "conv2.bias", "positional_embedding")


def q8_0(rows):
    """Blocks of 32: one f16 scale, 32 bytes."""
    blocks = rows.astype(np.float32).reshape(-1, BLOCK)
    scale = (np.abs(blocks).max(1) / 127).astype(np.float16)
    one_over = np.where(scale > 0, 1 / np.maximum(scale.astype(np.float32), 1e-12), 0)
    out = np.empty((len(blocks), BLOCK + 2), np.uint8)
    out[:, :2] = scale.view(np.uint8).reshape(-1, 2)
    out[:, 2:] = np.rint(blocks * one_over[:, None]).clip(-127, 127).astype(np.int8).view(np.uint8)
    return out.tobytes()


def read(path):
    """Shape numbers and all tensors as float32, in numpy's order."""
    data = open(path, "rb").read()
    shape = struct.unpack_from("<12i", data)
    at, tensors = 48 + len(M.ggml_head(path)[2]), {}
    while at < len(data):
        n_dims, n_name, kind = struct.unpack_from("<iii", data, at)
        dims = struct.unpack_from(f"<{n_dims}i", data, at + 12)
        at += 12 + 4 * n_dims
        name, n = data[at : at + n_name].decode(), int(np.prod(dims))
        at += n_name
        if kind == Q8_0:
            raw = np.frombuffer(data, np.uint8, n // BLOCK * (BLOCK + 2), at).reshape(-1, BLOCK + 2)
            scale = raw[:, :2].copy().view(np.float16).astype(np.float32)
            values, size = raw[:, 2:].copy().view(np.int8) * scale, raw.size
        else:
            dtype = {F32: np.float32, F16: np.float16}[kind]
            values, size = np.frombuffer(data, dtype, n, at).astype(np.float32), n * dtype().itemsize
        tensors[name] = values.reshape(dims[::-1]).astype(np.float32)
        at += size
    return shape, tensors


def block_of(tensors, to, has_cross):
    linear = lambda name: (
        {"w": tensors[f"{to}.{name}.weight"].T}
        | ({"b": tensors[f"{to}.{name}.bias"]} if f"{to}.{name}.bias" in tensors else {})
    )
    norm = lambda name: {"g": tensors[f"{to}.{name}.weight"], "b": tensors[f"{to}.{name}.bias"]}
    block = {"mlp1": linear("mlp.0"), "mlp2": linear("mlp.2"), "mlp_ln": norm("mlp_ln")}
    for attn in ["attn"] + ["cross_attn"] * has_cross:
        block[attn] = {part: linear(f"{attn}.{part}") for part in ("query", "key", "value", "out")}
        block[attn + "_ln"] = norm(attn + "_ln")
    return block


def start_from(path, p, used):
    """The weights of an earlier model of the same shape; tokens that it does not know keep their start
    values."""
    _, tensors = read(path)
    for side, blocks in (("encoder", p["enc"]), ("decoder", p["dec"])):
        blocks[:] = [block_of(tensors, f"{side}.blocks.{i}", side == "decoder") for i in range(len(blocks))]
    for conv in ("conv1", "conv2"):
        w = tensors[f"encoder.{conv}.weight"]
        p[conv] = {
            "w": w.transpose(2, 1, 0).reshape(-1, w.shape[0]),
            "b": tensors[f"encoder.{conv}.bias"][:, 0],
        }
    p["pos"] = tensors["decoder.positional_embedding"]
    for name, to in (("ln_post", "encoder.ln_post"), ("ln", "decoder.ln")):
        p[name] = {"g": tensors[to + ".weight"], "b": tensors[to + ".bias"]}
    rows = tensors["decoder.token_embedding.weight"]
    unknown = rows[5]
    for row, token in enumerate(used):
        if np.abs(rows[token] - unknown).max() > 1e-6:
            p["emb"][row] = rows[token]
    p["emb"][-1] = unknown
    return p


def write(path, saved, head):
    p, used, heads = saved["p"], saved["used"], saved["heads"]
    n = p["emb"].shape[1]
    # The last row stands for all tokens that are never used.
    embedding = np.tile(p["emb"][-1], (M.N_VOCAB, 1)).astype(np.float32)
    embedding[used] = p["emb"][:-1]
    out = open(path, "wb")
    # 7 is the file type of q8_0, 2 the version of quantisation, which stands in the thousands.
    shape = (M.N_VOCAB, 1500, n, heads, M.ENC_LAYERS, M.TEXT_CTX, n, heads, M.DEC_LAYERS, M.N_MEL, 2007)
    out.write(struct.pack("<12i", MAGIC, *shape) + M.ggml_head(head)[2])

    def put(name, array):
        is_row = array.ndim == 2 and not name.endswith(KEEP_F32) and array.shape[-1] % BLOCK == 0
        kind = Q8_0 if is_row else F16 if array.ndim == 3 else F32
        out.write(struct.pack("<iii", array.ndim, len(name), kind))
        out.write(struct.pack(f"<{array.ndim}i", *array.shape[::-1]) + name.encode())
        array = np.ascontiguousarray(array)
        out.write(
            q8_0(array) if is_row else array.astype(np.float16 if kind == F16 else np.float32).tobytes()
        )

    def linear(name, q):
        put(name + ".weight", q["w"].T)
        if "b" in q:
            put(name + ".bias", q["b"])

    def norm(name, q):
        put(name + ".weight", q["g"])
        put(name + ".bias", q["b"])

    put("decoder.positional_embedding", p["pos"])
    put("encoder.positional_embedding", M.sinusoids(1500, n))
    put("decoder.token_embedding.weight", embedding)
    for conv, channels in (("conv1", M.N_MEL), ("conv2", n)):
        # unfolded (3 * channels, n) becomes (n, channels, 3)
        put(f"encoder.{conv}.weight", p[conv]["w"].reshape(3, channels, n).transpose(2, 1, 0))
        put(f"encoder.{conv}.bias", p[conv]["b"][:, None])
    for side, blocks in (("encoder", p["enc"]), ("decoder", p["dec"])):
        for i, block in enumerate(blocks):
            to = f"{side}.blocks.{i}"
            for attn in ["attn"] + ["cross_attn"] * (side == "decoder"):
                for part in ("query", "key", "value", "out"):
                    linear(f"{to}.{attn}.{part}", block[attn][part])
                norm(f"{to}.{attn}_ln", block[attn + "_ln"])
            linear(f"{to}.mlp.0", block["mlp1"])
            linear(f"{to}.mlp.2", block["mlp2"])
            norm(f"{to}.mlp_ln", block["mlp_ln"])
    norm("encoder.ln_post", p["ln_post"])
    norm("decoder.ln", p["ln"])
    out.close()


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    for name in ("--model", "--head", "--out"):
        cli.add_argument(name, required=True)
    args = cli.parse_args()
    write(args.out, pickle.load(open(args.model, "rb")), args.head)
