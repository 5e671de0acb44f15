"""The CIFAR-10 tutorial as people write it: the baseline of Tenfold's small-batch training.

PIL images, transforms one by one, a DataLoader with two workers, batches of 4, a few epochs of SGD. Then the weights
are saved and loaded, and the network is tested on the whole test set and class by class.

    python benchmarks/classic.py IMAGES.npz
    python benchmarks/classic.py IMAGES.npz --width 90              # the wide network, 3 epochs
    python benchmarks/classic.py IMAGES.npz --width 90 --steps 1500 # its first steps only
    python benchmarks/classic.py IMAGES.npz --device cuda           # on a GPU

IMAGES.npz holds `train_images` uint8 [N, 32, 32, 3], `train_labels` int64 [N], and the same for test; `tenfold bench
classic` makes it. Nothing of Tenfold is used here. torchvision has no CPU build for the pinned torch, so `ToTensor` and
`Normalize` are written out; they do the same work.
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


class Cifar10(Dataset):
    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = Image.fromarray(self.images[index])
        image = torch.from_numpy(np.array(image, copy=True)).permute(2, 0, 1).contiguous().float().div(255)
        return image.sub_(0.5).div_(0.5), int(self.labels[index])


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


def train(net, trainloader, epochs, lr, print_every, num_steps, device):
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=lr, momentum=0.9)

    start = time.perf_counter()
    for epoch in range(1 if num_steps else epochs):
        running_loss = 0.0
        for i, data in enumerate(trainloader, 0):
            if num_steps and i == 100:  # the workers have started
                start = time.perf_counter()
            if num_steps and i == 100 + num_steps:
                print(f"step: {1000 * (time.perf_counter() - start) / num_steps:.3f} ms")
                break
            inputs, labels = data[0].to(device), data[1].to(device)
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            if i % print_every == print_every - 1:
                print(f"[{epoch + 1}, {i + 1:5d}] loss: {running_loss / print_every:.3f}", flush=True)
                running_loss = 0.0
    print(f"training: {time.perf_counter() - start:.3f} s")


def test(net, testloader, device):
    correct = 0
    total = 0
    with torch.no_grad():
        for data in testloader:
            images, labels = data[0].to(device), data[1].to(device)
            outputs = net(images)
            _, predicted = torch.max(outputs, 1)
            total += labels.size(0)
            correct += (predicted == labels).sum().item()
    print(f"accuracy: {100 * correct / total:.2f} %")


def test_classes(net, testloader, device):
    correct_pred = [0] * 10
    total_pred = [0] * 10
    with torch.no_grad():
        for data in testloader:
            images, labels = data[0].to(device), data[1].to(device)
            outputs = net(images)
            _, predictions = torch.max(outputs, 1)
            for label, prediction in zip(labels, predictions, strict=True):
                correct_pred[label] += int(label == prediction)
                total_pred[label] += 1
    for classname in range(10):
        print(f"class {classname}: {100 * correct_pred[classname] / total_pred[classname]:.1f} %")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("images")
    parser.add_argument("--width", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    epochs, lr, print_every = (2, 0.001, 2000) if args.width is None else (3, 0.0015, 5000)

    def new_net():
        return (Net() if args.width is None else WideNet(args.width)).to(args.device)

    arrays = np.load(args.images)
    trainset = Cifar10(arrays["train_images"], arrays["train_labels"])
    testset = Cifar10(arrays["test_images"], arrays["test_labels"])
    trainloader = DataLoader(trainset, batch_size=4, shuffle=True, num_workers=2)
    testloader = DataLoader(testset, batch_size=4, shuffle=False, num_workers=2)
    net = new_net()
    train(net, trainloader, epochs, lr, print_every, args.steps, args.device)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cifar_net.pth"
        torch.save(net.state_dict(), path)
        net = new_net()
        net.load_state_dict(torch.load(path, weights_only=True))

    test(net, testloader, args.device)
    test_classes(net, testloader, args.device)


if __name__ == "__main__":
    main()
