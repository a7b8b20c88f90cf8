#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the demo's network on Fashion-MNIST and writes it as a .npuw file.

Needs only python3-numpy and the dataset of the Debian package dataset-fashion-mnist:

    OMP_NUM_THREADS=1 /usr/bin/python3 tools/demo/train.py --out fashion_cnn.npuw

The network works on NHWC tensors, which is the layout of the device's operators:

    u8 28x28x1 -> x * scale + offset -> conv 3x3 1->16, relu -> max 2x2 -> conv 3x3 16->32, relu -> max 2x2
    -> fully connected 1568 -> 128, relu -> fully connected 128 -> 10

One seed fixes the initial weights, the order of the images and the augmentation.  What is left to chance is the order
of additions inside the BLAS that numpy is linked with, so another BLAS gives other last bits and an accuracy that
differs by some hundredths of a point.

The .npuw format, little endian: 16 bytes of header (magic "NPUW", u32 version = 1, u32 tensors, u32 bytes of the table
that follows), then 64 bytes a tensor (name[24], u32 type: 0 = f32, 1 = f16, u32 dims[4] of which the unused are 0,
u64 offset from the start of the file, u64 bytes, 4 bytes of zero), then the data, each tensor 64-byte aligned.
"""
import argparse
import gzip
import os
import struct
import sys
import time

import numpy as np

F = np.float32


def read_idx(path):
    """An IDX file (gzip) as an array of u8."""
    with gzip.open(path, "rb") as f:
        data = f.read()
    dims = data[3]
    shape = struct.unpack(">%dI" % dims, data[4 : 4 + 4 * dims])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dims).reshape(shape)


def im2col(x):
    """[N,H,W,C] -> [N*H*W, 9*C] for a 3x3 window with a border of zeros; columns in the order ky, kx, c."""
    n, h, w, c = x.shape
    p = np.zeros((n, h + 2, w + 2, c), F)
    p[:, 1:-1, 1:-1] = x
    s = p.strides
    view = np.lib.stride_tricks.as_strided(p, (n, h, w, 3, 3 * c), (s[0], s[1], s[2], s[1], s[3]))
    return view.reshape(n * h * w, 9 * c)


def col2im(g, shape):
    """Adjoint of im2col."""
    n, h, w, c = shape
    g = g.reshape(n, h, w, 3, 3, c)
    p = np.zeros((n, h + 2, w + 2, c), F)
    for ky in range(3):
        for kx in range(3):
            p[:, ky : ky + h, kx : kx + w] += g[:, :, :, ky, kx]
    return p[:, 1:-1, 1:-1]


def pool(x):
    """2x2 maximum; also which of the four won (the first of equals)."""
    n, h, w, c = x.shape
    q = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, c, 4)
    i = q.argmax(-1)
    return np.take_along_axis(q, i[..., None], -1)[..., 0], i


def unpool(g, i):
    n, h, w, c = g.shape
    q = np.zeros((n, h, w, c, 4), F)
    np.put_along_axis(q, i[..., None], g[..., None], -1)
    return q.reshape(n, h, w, c, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(n, h * 2, w * 2, c)


class Net:
    def __init__(self, rng):
        def he(*shape):
            fan_in = int(np.prod(shape[:-1]))
            return (rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(F)

        self.p = {
            "conv1.w": he(3, 3, 1, 16), "conv1.b": np.zeros(16, F),
            "conv2.w": he(3, 3, 16, 32), "conv2.b": np.zeros(32, F),
            "fc1.w": he(1568, 128), "fc1.b": np.zeros(128, F),
            "fc2.w": he(128, 10), "fc2.b": np.zeros(10, F),
        }

    def forward(self, x, keep=None):
        p = self.p
        n = len(x)
        a1 = im2col(x)
        h1 = np.maximum(a1 @ p["conv1.w"].reshape(9, 16) + p["conv1.b"], 0).reshape(n, 28, 28, 16)
        p1, i1 = pool(h1)
        a2 = im2col(p1)
        h2 = np.maximum(a2 @ p["conv2.w"].reshape(144, 32) + p["conv2.b"], 0).reshape(n, 14, 14, 32)
        p2, i2 = pool(h2)
        f = p2.reshape(n, 1568)
        h3 = np.maximum(f @ p["fc1.w"] + p["fc1.b"], 0)
        if keep is not None:
            h3 = h3 * keep
        y = h3 @ p["fc2.w"] + p["fc2.b"]
        return y, (a1, h1, i1, a2, h2, i2, p1.shape, f, h3, keep)

    def backward(self, dy, saved):
        p, g = self.p, {}
        a1, h1, i1, a2, h2, i2, p1_shape, f, h3, keep = saved
        n = len(dy)
        g["fc2.w"], g["fc2.b"] = h3.T @ dy, dy.sum(0)
        d = dy @ p["fc2.w"].T
        if keep is not None:
            d *= keep
        d *= h3 > 0
        g["fc1.w"], g["fc1.b"] = f.T @ d, d.sum(0)
        d = unpool((d @ p["fc1.w"].T).reshape(n, 7, 7, 32), i2) * (h2 > 0)
        d = d.reshape(-1, 32)
        g["conv2.w"], g["conv2.b"] = (a2.T @ d).reshape(3, 3, 16, 32), d.sum(0)
        d = unpool(col2im(d @ p["conv2.w"].reshape(144, 32).T, p1_shape), i1) * (h1 > 0)
        d = d.reshape(-1, 16)
        g["conv1.w"], g["conv1.b"] = (a1.T @ d).reshape(3, 3, 1, 16), d.sum(0)
        return g


def augment(x, rng):
    """Mirror half of the images and move each by up to one pixel."""
    n = len(x)
    flip = rng.random(n) < 0.5
    x = x.copy()
    x[flip] = x[flip, :, ::-1]
    dy, dx = rng.integers(-1, 2, n), rng.integers(-1, 2, n)
    for sy in (-1, 0, 1):
        for sx in (-1, 0, 1):
            m = (dy == sy) & (dx == sx)
            if sy or sx:
                x[m] = np.roll(x[m], (sy, sx), (1, 2))
    return x


def accuracy(net, images, labels, scale, offset):
    good = 0
    for i in range(0, len(images), 500):
        x = images[i : i + 500].astype(F)[..., None] * scale + offset
        good += int((net.forward(x)[0].argmax(1) == labels[i : i + 500]).sum())
    return 100.0 * good / len(images)


def train(net, images, labels, test, scale, offset, args, rng):
    m = {k: np.zeros_like(v) for k, v in net.p.items()}
    v = {k: np.zeros_like(w) for k, w in net.p.items()}
    step, total = 0, args.epochs * (len(images) // args.batch)
    start = time.monotonic()
    for epoch in range(args.epochs):
        order = rng.permutation(len(images))
        loss_sum = 0.0
        for b in range(len(images) // args.batch):
            idx = order[b * args.batch : (b + 1) * args.batch]
            x = augment(images[idx], rng).astype(F)[..., None] * scale + offset
            keep = (rng.random((len(idx), 128)) < 0.7).astype(F) / F(0.7)
            y, saved = net.forward(x, keep)
            y -= y.max(1, keepdims=True)
            prob = np.exp(y)
            prob /= prob.sum(1, keepdims=True)
            loss_sum += float(-np.log(prob[np.arange(len(idx)), labels[idx]] + 1e-12).mean())
            prob[np.arange(len(idx)), labels[idx]] -= 1
            grads = net.backward((prob / len(idx)).astype(F), saved)
            step += 1
            rate = args.rate * 0.5 * (1 + np.cos(np.pi * step / total))
            for k, g in grads.items():
                m[k] += F(0.1) * (g - m[k])
                v[k] += F(0.001) * (g * g - v[k])
                mh, vh = m[k] / F(1 - 0.9**step), v[k] / F(1 - 0.999**step)
                net.p[k] -= F(rate) * (mh / (np.sqrt(vh) + F(1e-8)) + F(args.decay) * net.p[k])
        print("epoch %2d  loss %.4f  test accuracy %.2f %%  %.0f s"
              % (epoch + 1, loss_sum / (len(images) // args.batch), accuracy(net, *test, scale, offset),
                 time.monotonic() - start), flush=True)


def save(path, net, scale, offset):
    tensors = [("input", np.array([scale, offset], F))] + [(k, w.astype(np.float16)) for k, w in net.p.items()]
    at = 16 + 64 * len(tensors)
    table, data = b"", b""
    for name, w in tensors:
        pad = -(at + len(data)) % 64
        data += b"\0" * pad
        dims = list(w.shape) + [0] * (4 - w.ndim)
        table += struct.pack("<24sI4IQQ4x", name.encode(), int(w.dtype == np.float16), *dims, at + len(data), w.nbytes)
        data += w.tobytes()
    with open(path, "wb") as f:
        f.write(struct.pack("<4sIII", b"NPUW", 1, len(tensors), 64 * len(tensors)) + table + data)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    a = argparse.ArgumentParser(description="train the demo's network")
    a.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    a.add_argument("--out", default=os.path.join(here, "fashion_cnn.npuw"))
    a.add_argument("--epochs", type=int, default=10)
    a.add_argument("--batch", type=int, default=100)
    a.add_argument("--rate", type=float, default=2e-3)
    a.add_argument("--decay", type=float, default=5e-3)
    a.add_argument("--seed", type=int, default=2024)
    args = a.parse_args()
    try:
        images, labels = (read_idx(os.path.join(args.data, "train-%s.gz" % s)) for s in ("images-idx3-ubyte", "labels-idx1-ubyte"))
        test = tuple(read_idx(os.path.join(args.data, "t10k-%s.gz" % s)) for s in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    except OSError as e:
        sys.exit("train.py: %s: install the package dataset-fashion-mnist, or name its folder with --data" % e)
    rng = np.random.default_rng(args.seed)
    mean, std = images.mean() / 255.0, images.std() / 255.0
    scale, offset = F(1 / (255.0 * std)), F(-mean / std)
    net = Net(rng)
    train(net, images, labels, test, scale, offset, args, rng)
    for k in net.p:
        net.p[k] = net.p[k].astype(np.float16).astype(F)
    print("rounded to fp16: test accuracy %.2f %%" % accuracy(net, *test, scale, offset))
    save(args.out, net, scale, offset)
    print("%s: %d bytes" % (args.out, os.path.getsize(args.out)))


if __name__ == "__main__":
    main()
