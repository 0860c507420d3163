"use strict";
(async () => {
  const $ = (id) => document.getElementById(id);
  const { layers, reference, affine, position, views } = JSON.parse($("setup").textContent);
  const grid = layers[reference];
  // The voxel of the reference where the three slices meet.
  const cross = position.map((voxel, a) => clamp(Math.round(voxel), grid.shape[a]));
  let shown = reference;
  // The layer at the left of the shown one, or -1.
  let beside = Number($("beside").value);

  function clamp(voxel, n) {
    return Math.min(Math.max(voxel, 0), n - 1);
  }

  function fail(message) {
    $("trouble").textContent = message;
    $("trouble").hidden = false;
  }

  const BLOCK = 8;
  // The index of the coefficient at each place of a packed block: low frequencies come first.
  const order = Array.from({ length: BLOCK ** 3 }, (_, n) => n);
  const frequency = (n) => (n >> 6) + ((n >> 3) & 7) + (n & 7);
  order.sort((one, other) => frequency(one) - frequency(other) || one - other);
  const cosines = order.slice(0, 64).map((_, n) => {
    const [k, x] = [n >> 3, n & 7];
    return Math.sqrt((k ? 2 : 1) / BLOCK) * Math.cos((Math.PI * (2 * x + 1) * k) / (2 * BLOCK));
  });

  // The inverse cosine transform of a block along one axis.
  function transform(from, to, stride) {
    for (let start = 0; start < from.length; start++) {
      if (Math.floor(start / stride) % BLOCK) continue;
      for (let x = 0; x < BLOCK; x++) {
        let sum = 0;
        for (let k = 0; k < BLOCK; k++) sum += cosines[8 * k + x] * from[start + k * stride];
        to[start + x * stride] = sum;
      }
    }
  }

  // The absolute difference of two layers on the same grid, in the window of the map.
  async function subtract(layer) {
    const [one, two] = layer.difference.map((name) => layers.find((other) => other.name === name));
    await load(one);
    await load(two);
    const scale = (one.window[1] - one.window[0]) / (layer.window[1] - layer.window[0]);
    return Uint8ClampedArray.from(one.voxels, (v, n) => scale * Math.abs(v - two.voxels[n]));
  }

  async function load(layer) {
    layer.voxels ??= await (layer.difference ? subtract(layer) : unpack(layer));
  }

  // The inverse of pack in _layers.py.
  async function unpack(layer) {
    const text = atob($(`voxels-${layer.name}`).textContent);
    const packed = new Uint8Array(text.length);
    for (let n = 0; n < text.length; n++) packed[n] = text.charCodeAt(n);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const stored = new Uint8Array(await new Response(stream).arrayBuffer());
    const [nx, ny, nz] = layer.shape;
    const [bx, by, bz] = layer.shape.map((n) => Math.ceil(n / BLOCK));
    const blocks = bx * by * bz;
    const voxels = new Uint8ClampedArray(nx * ny * nz);
    const [one, two] = [new Float32Array(order.length), new Float32Array(order.length)];
    for (let block = 0; block < blocks; block++) {
      let varies = false;
      for (let place = 0; place < order.length; place++) {
        const n = place * blocks + block;
        const unsigned = stored[n] | (stored[n + order.length * blocks] << 8);
        varies ||= place > 0 && unsigned > 0;
        one[order[place]] = layer.rounded * ((unsigned >> 1) ^ -(unsigned & 1));
      }
      if (varies) {
        transform(one, two, 64);
        transform(two, one, 8);
        transform(one, two, 1);
      } else {
        two.fill(one[0] / Math.sqrt(order.length));
      }
      const corner = [Math.floor(block / (by * bz)), Math.floor(block / bz) % by, block % bz];
      const [x0, y0, z0] = corner.map((n) => BLOCK * n);
      const [x1, y1, z1] = [x0, y0, z0].map((n, a) => Math.min(BLOCK, layer.shape[a] - n));
      for (let z = 0; z < z1; z++) {
        for (let y = 0; y < y1; y++) {
          const line = x0 + nx * (y0 + y + ny * (z0 + z));
          for (let x = 0; x < x1; x++) voxels[line + x] = two[64 * x + 8 * y + z];
        }
      }
    }
    return voxels;
  }

  // Every eighth colour of inferno, by S. van der Walt and N. Smith (CC0).
  const inferno = [
    [0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85],
    [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164],
  ];

  function color(layer, level) {
    const part = level / 255;
    if (layer.colors === "gray") return Array(3).fill(Math.round(255 * part));
    const n = Math.min(Math.floor(8 * part), 7);
    return inferno[n].map((v, c) => Math.round(v + (8 * part - n) * (inferno[n + 1][c] - v)));
  }

  // One pixel for each level. Its bytes are red, green, blue and alpha, from the lowest to the
  // highest: browsers run on little-endian machines.
  function palette(layer) {
    const colors = new Uint32Array(256);
    for (let level = 0; level < 256; level++) {
      const [red, green, blue] = color(layer, level);
      colors[level] = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    }
    return colors;
  }

  // The voxel of a layer that contains the centre of a voxel of the reference, along one axis.
  function voxelOf(layer, a, voxel) {
    const mm = voxel * grid.step[a];
    // Round ties up on every grid, regardless of rounding errors in the affine.
    return clamp(Math.floor((mm - layer.origin[a]) / layer.step[a] + 0.5 + 1e-6), layer.shape[a]);
  }

  function levelAt(layer) {
    const [x, y, z] = cross.map((voxel, a) => voxelOf(layer, a, voxel));
    return layer.voxels[x + layer.shape[0] * (y + layer.shape[1] * z)];
  }

  function slice(layer, axis, a, b) {
    const strides = [1, layer.shape[0], layer.shape[0] * layer.shape[1]];
    const [wide, high] = [layer.shape[a], layer.shape[b]];
    const image = new ImageData(wide, high);
    const pixels = new Uint32Array(image.data.buffer);
    const start = voxelOf(layer, axis, cross[axis]) * strides[axis];
    for (let row = 0; row < high; row++) {
      // The first row of a picture is at the top.
      const line = start + (high - 1 - row) * strides[b];
      for (let column = 0; column < wide; column++) {
        pixels[row * wide + column] = layer.palette[layer.voxels[line + column * strides[a]]];
      }
    }
    return image;
  }

  function paint(view, { canvas, context, caption }, layer) {
    const axis = view.axis;
    const [a, b] = [0, 1, 2].filter((other) => other !== axis);
    caption.textContent = layer.label;
    if (layer.voxels) {
      const image = slice(layer, axis, a, b);
      const sheet = new OffscreenCanvas(image.width, image.height);
      sheet.getContext("2d").putImageData(image, 0, 0);
      // Borders of the outermost voxels, in mm from the borders of the reference.
      const left = layer.origin[a] - layer.step[a] / 2 + grid.step[a] / 2;
      const end = layer.origin[b] + layer.step[b] * (layer.shape[b] - 0.5) + grid.step[b] / 2;
      const top = grid.step[b] * grid.shape[b] - end;
      context.fillStyle = "#000";
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.imageSmoothingEnabled = false;
      context.drawImage(
        sheet,
        left * view.scale[0],
        top * view.scale[1],
        image.width * layer.step[a] * view.scale[0],
        image.height * layer.step[b] * view.scale[1],
      );
    }
    if ($("cross").checked) {
      const x = (cross[a] + 0.5) * grid.step[a] * view.scale[0];
      const y = canvas.height - (cross[b] + 0.5) * grid.step[b] * view.scale[1];
      context.fillStyle = "rgba(86, 180, 233, 0.8)";
      context.fillRect(x - 0.5, 0, 1, canvas.height);
      context.fillRect(0, y - 0.5, canvas.width, 1);
    }
  }

  function draw(view) {
    const [main, left] = view.pictures;
    paint(view, main, layers[shown]);
    if (beside >= 0) paint(view, left, layers[beside]);
    view.slider.value = cross[view.axis];
    const text = `slice ${cross[view.axis] + 1} of ${grid.shape[view.axis]}`;
    view.output.textContent = text;
    view.slider.setAttribute("aria-valuetext", text);
  }

  function number(value) {
    return Number(value.toPrecision(3)).toString();
  }

  function readout() {
    const world = [0, 1, 2].map((row) =>
      affine[row].reduce((sum, entry, a) => sum + entry * (a < 3 ? cross[a] : 1), 0),
    );
    const where = ["right", "anterior", "superior"].map((side, a) => {
      const opposite = ["left", "posterior", "inferior"][a];
      return `${Math.abs(world[a]).toFixed(1)} mm ${world[a] < 0 ? opposite : side}`;
    });
    const values = layers
      .filter((layer) => layer.voxels)
      .map((layer) => {
        const [first, last] = layer.window;
        const level = levelAt(layer);
        const sign = level === 255 ? "≥ " : level === 0 ? "≤ " : "";
        return `${layer.label} ${sign}${number(first + ((last - first) * level) / 255)}`;
      });
    $("readout").textContent = `At the cross, ${where.join(", ")}: ${values.join("; ")}.`;
  }

  function drawAll() {
    views.forEach(draw);
    readout();
  }

  function show(n) {
    shown = n;
    const layer = layers[n];
    document.querySelector(`input[name="layer"][value="${n}"]`).checked = true;
    const bar = $("colors").getContext("2d");
    for (let x = 0; x < 256; x++) {
      bar.fillStyle = `rgb(${color(layer, x)})`;
      bar.fillRect(x, 0, 1, 1);
    }
    $("first").textContent = number(layer.window[0]);
    $("last").textContent = number(layer.window[1]);
    $("note").textContent = layer.note;
    drawAll();
  }

  function showBeside(n) {
    beside = n;
    document.body.classList.toggle("pairs", n >= 0);
    drawAll();
  }

  function moveTo(view, canvas, event) {
    const [a, b] = [0, 1, 2].filter((other) => other !== view.axis);
    const box = canvas.getBoundingClientRect();
    const right = (event.clientX - box.left) / box.width;
    const up = 1 - (event.clientY - box.top) / box.height;
    cross[a] = clamp(Math.floor(right * grid.shape[a]), grid.shape[a]);
    cross[b] = clamp(Math.floor(up * grid.shape[b]), grid.shape[b]);
    drawAll();
  }

  function prepare(view, n) {
    const figure = $(view.name);
    const [a, b] = [0, 1, 2].filter((other) => other !== view.axis);
    const size = [a, b].map((one) => grid.shape[one] * grid.step[one]);
    view.slider = figure.querySelector("input");
    view.output = figure.querySelector("output");
    const longest = Math.max(...size);
    const pixelsPerMm = Math.min(Math.max(3, 900 / longest), 2048 / longest);
    const [width, height] = size.map((mm) => Math.max(1, Math.round(mm * pixelsPerMm)));
    view.scale = [width / size[0], height / size[1]];
    view.slider.max = grid.shape[view.axis] - 1;
    view.slider.addEventListener("input", () => {
      cross[view.axis] = Number(view.slider.value);
      drawAll();
    });
    view.pictures = [...figure.querySelectorAll(".picture")].map((picture) => {
      const canvas = picture.querySelector("canvas");
      [canvas.width, canvas.height] = [width, height];
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        moveTo(view, canvas, event);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (event.buttons & 1) moveTo(view, canvas, event);
      });
      return {
        canvas,
        context: canvas.getContext("2d"),
        caption: picture.querySelector(".name"),
      };
    });
    // Widths of panels are proportional to the widths of slices, so that all have the same scale.
    figure.parentElement.style.setProperty(`--w${n}`, `minmax(0, ${size[0]}fr)`);
  }

  views.forEach(prepare);
  layers.forEach((layer) => {
    layer.palette = palette(layer);
  });
  document.querySelectorAll('input[name="layer"]').forEach((input) => {
    input.addEventListener("change", () => show(Number(input.value)));
  });
  $("cross").addEventListener("change", drawAll);
  $("beside").addEventListener("change", () => showBeside(Number($("beside").value)));
  showBeside(beside);
  show(shown);
  document.addEventListener("keydown", (event) => {
    const n = Number(event.key) - 1;
    const plain = !(event.ctrlKey || event.altKey || event.metaKey);
    if (plain && Number.isInteger(n) && n >= 0 && n < layers.length) show(n);
  });

  if (typeof DecompressionStream === "undefined" || typeof OffscreenCanvas === "undefined") {
    fail("This browser is too old to show the slices. Use Chrome 80, Safari 16.4, Firefox 113 or later.");
    return;
  }
  try {
    for (const layer of [grid, ...layers.filter((other) => other !== grid)]) {
      await load(layer);
      drawAll();
    }
    document.body.dataset.ready = "true";
  } catch (error) {
    fail(`The slices cannot be shown: ${error}`);
  }
})();
