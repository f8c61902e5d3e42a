"""Torch-Pruning on the CIFAR-10 ResNets, for comparison: same weights, budget, data, epochs.

python bench/peers/torch_pruning_resnet.py MODEL.onnx --data CIFAR_FOLDER --keep 0.5 --epochs 12 --out pruned.onnx
Needs torch, torch-pruning, onnx and numpy. Iterative group pruning by Taylor or magnitude importance
with global ranking, as its README recommends, then fine-tuning; labels and the dense network's outputs
teach with the same loss that our recipes use.
"""

import argparse
import copy
import os
import time

import numpy as np
import onnx
import torch
import torch.nn.functional as F
import torch_pruning as tp
from onnx import numpy_helper
from torch import nn


class Shortcut(nn.Module):
    """Every second pixel, new channels zero on both sides (option A)."""

    def __init__(self, extra):
        super().__init__()
        self.extra = extra

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra, self.extra))


class Block(nn.Module):
    def __init__(self, inner_in, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inner_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Identity() if stride == 1 else Shortcut(width // 4)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        width = 16
        for stage, out in enumerate((16, 32, 64), 1):
            parts = []
            for i in range(blocks):
                parts.append(Block(width, out, 2 if stage > 1 and i == 0 else 1))
                width = out
            setattr(self, f"layer{stage}", nn.Sequential(*parts))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def load_weights(path):
    weights = {w.name: numpy_helper.to_array(w) for w in onnx.load(path).graph.initializer}
    blocks = 1 + max(int(n.split(".")[1]) for n in weights if n.startswith("layer1."))
    model = ResNet(blocks)
    state = model.state_dict()
    for name in state:
        if name.endswith("num_batches_tracked"):
            continue
        state[name] = torch.from_numpy(weights[name].copy()).reshape(state[name].shape)
    model.load_state_dict(state)
    return model.eval()


def read_cifar(folder, files):
    raw = np.concatenate([np.fromfile(f"{folder}/{f}", np.uint8) for f in files]).reshape(-1, 3073)
    return raw[:, 1:].reshape(-1, 3, 32, 32), raw[:, 0].astype(np.int64)


MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def prepare(images):
    return (torch.from_numpy(images).float() / 255 - MEAN) / STD


def augment(images, rng):
    out = np.zeros_like(images)
    for i, image in enumerate(images):
        dy, dx = rng.integers(-4, 5, 2)
        padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
        crop = padded[:, 4 + dy : 36 + dy, 4 + dx : 36 + dx]
        out[i] = crop[:, :, ::-1] if rng.random() < 0.5 else crop
    return out


@torch.no_grad()
def accuracy(model, images, labels):
    model.eval()
    right = 0
    for i in range(0, len(images), 100):
        right += (model(prepare(images[i : i + 100])).argmax(1).numpy() == labels[i : i + 100]).sum()
    return right / len(images)


def tune(model, teacher, data, epochs, rate, rng, final=0.0):
    images, labels = data
    steps = int(epochs * (len(images) // 64))
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=1e-4)
    model.train()
    order = rng.permutation(len(images))
    at = 0
    for step in range(steps):
        if at + 64 > len(order):
            order, at = rng.permutation(len(images)), 0
        pick = order[at : at + 64]
        at += 64
        x = prepare(augment(images[pick], rng))
        share = step / max(1, steps)
        lr = final + (rate - final) * 0.5 * (1 + np.cos(np.pi * share))
        lr *= min(1, (step + 1) / max(1, 0.03 * steps))
        for group in optimizer.param_groups:
            group["lr"] = lr
        with torch.no_grad():
            taught = teacher(x)
        logits = model(x)
        t = 3.0
        soft = F.kl_div(F.log_softmax(logits / t, 1), F.softmax(taught / t, 1), reduction="batchmean") * t * t
        loss = 0.7 * soft + 0.3 * F.cross_entropy(logits, torch.from_numpy(labels[pick]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--keep", type=float, default=0.5)
    parser.add_argument("--epochs", type=float, default=12)
    parser.add_argument("--importance", choices=["taylor", "magnitude"], default="taylor")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(options.seed)
    train = read_cifar(options.data, sorted(f for f in os.listdir(options.data) if f.startswith("data_batch")))
    test = read_cifar(options.data, ["test_batch.bin"])
    model = load_weights(options.model)
    teacher = copy.deepcopy(model)
    example = torch.zeros(1, 3, 32, 32)
    macs, params = tp.utils.count_ops_and_params(model, example)
    print(f"dense: {macs / 1e6:.2f} M MACs, accuracy {100 * accuracy(model, *test):.1f} %", flush=True)
    importance = tp.importance.GroupTaylorImportance() if options.importance == "taylor" else tp.importance.GroupMagnitudeImportance(p=2)
    # Option A shortcuts shift channels by padding, which its graph does not follow: only channels
    # inside blocks can be pruned.
    ignored = [model.linear, model.conv1] + [b.conv2 for s in (model.layer1, model.layer2, model.layer3) for b in s]
    pruner = tp.pruner.BasePruner(
        model, example, importance=importance, global_pruning=True, pruning_ratio=0.95,
        max_pruning_ratio=0.9, iterative_steps=400, ignored_layers=ignored,
    )
    started = time.time()
    for index in range(1, options.rounds + 1):
        target = macs * options.keep ** (index / options.rounds)
        if options.importance == "taylor":
            model.zero_grad()
            for _ in range(32):
                pick = rng.integers(0, len(train[0]), 64)
                F.cross_entropy(model(prepare(train[0][pick])), torch.from_numpy(train[1][pick])).backward()
        while tp.utils.count_ops_and_params(model, example)[0] > target:
            pruner.step()
        left, _ = tp.utils.count_ops_and_params(model, example)
        print(f"round {index}: {left / 1e6:.2f} M MACs, accuracy {100 * accuracy(model, *test):.1f} % before tuning", flush=True)
        last = index == options.rounds
        epochs = options.epochs * (0.7 if last else 0.3 / (options.rounds - 1))
        tune(model, teacher, train, epochs, 0.02, rng, 0.0 if last else 0.01)
        print(f"round {index}: accuracy {100 * accuracy(model, *test):.1f} % ({time.time() - started:.0f} s)", flush=True)
    torch.onnx.export(
        model, example, options.out, input_names=["image"], output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}}, opset_version=18, dynamo=False,
        do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE,
    )


main()
