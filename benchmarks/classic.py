"""The CIFAR-10 tutorial as people write it: the peer that Tenfold's small-batch training is measured against.

PIL pictures, transforms one by one, a DataLoader with two workers, batches of 4, a few epochs of SGD; then the weights
are saved and loaded, and the test pictures judged overall and class by class.

    python benchmarks/classic.py PICTURES.npz
    python benchmarks/classic.py PICTURES.npz --width 90              # the wide network, 3 epochs
    python benchmarks/classic.py PICTURES.npz --width 90 --steps 1500 # its first steps only

PICTURES.npz holds `train_images` uint8 [N, 32, 32, 3], `train_labels` int64 [N], and the same for test; `tenfold bench
classic` makes it. Nothing of Tenfold is used here. torchvision has no CPU build beside the pinned torch, so its
`ToTensor` and `Normalize` are written out; they do the same work.
"""
# mypy: ignore-errors
# Without annotations, as people write it.

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset


class Pictures(Dataset):
    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        picture = Image.fromarray(self.images[index])
        pixels = torch.from_numpy(np.array(picture, copy=True)).permute(2, 0, 1).contiguous().float().div(255)
        return pixels.sub_(0.5).div_(0.5), int(self.labels[index])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class WideNet(Net):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 5)
        self.conv2 = nn.Conv2d(width, 200, 5)
        self.fc1 = nn.Linear(200 * 5 * 5, 100)
        self.fc2 = nn.Linear(100, 84)


def train(net, trainloader, options, epochs, lr, every):
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=lr, momentum=0.9)

    began = time.perf_counter()
    for epoch in range(1 if options.steps else epochs):
        running_loss = 0.0
        for i, data in enumerate(trainloader, 0):
            if options.steps and i == 100:  # the workers have started
                began = time.perf_counter()
            if options.steps and i == 100 + options.steps:
                print(f"step: {1000 * (time.perf_counter() - began) / options.steps:.3f} ms")
                break
            inputs, labels = data
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            if i % every == every - 1:
                print(f"[{epoch + 1}, {i + 1:5d}] loss: {running_loss / every:.3f}", flush=True)
                running_loss = 0.0
    print(f"training: {time.perf_counter() - began:.3f} s")


def judge(net, testloader):
    correct = 0
    total = 0
    with torch.no_grad():
        for data in testloader:
            images, labels = data
            outputs = net(images)
            _, predicted = torch.max(outputs, 1)
            total += labels.size(0)
            correct += (predicted == labels).sum().item()
    print(f"accuracy: {100 * correct / total:.2f} %")


def judge_classes(net, testloader):
    correct_of = [0] * 10
    total_of = [0] * 10
    with torch.no_grad():
        for data in testloader:
            images, labels = data
            outputs = net(images)
            _, predictions = torch.max(outputs, 1)
            for label, prediction in zip(labels, predictions, strict=True):
                correct_of[label] += int(label == prediction)
                total_of[label] += 1
    for name in range(10):
        print(f"class {name}: {100 * correct_of[name] / total_of[name]:.1f} %")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pictures")
    parser.add_argument("--width", type=int)
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()
    epochs, lr, every = (2, 0.001, 2000) if options.width is None else (3, 0.0015, 5000)

    def new_net():
        return Net() if options.width is None else WideNet(options.width)

    arrays = np.load(options.pictures)
    trainset = Pictures(arrays["train_images"], arrays["train_labels"])
    testset = Pictures(arrays["test_images"], arrays["test_labels"])
    trainloader = DataLoader(trainset, batch_size=4, shuffle=True, num_workers=2)
    testloader = DataLoader(testset, batch_size=4, shuffle=False, num_workers=2)
    net = new_net()
    train(net, trainloader, options, epochs, lr, every)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cifar_net.pth"
        torch.save(net.state_dict(), path)
        net = new_net()
        net.load_state_dict(torch.load(path, weights_only=True))

    judge(net, testloader)
    judge_classes(net, testloader)


if __name__ == "__main__":
    main()
