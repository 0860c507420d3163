"use strict";
(async () => {
  const $ = (id) => document.getElementById(id);
  const { layers, reference, affine, position, views } = JSON.parse($("setup").textContent);
  const grid = layers[reference];
  // The voxel of the reference where the three slices meet.
  const cross = position.map((voxel, a) => clamp(Math.round(voxel), grid.shape[a]));
  let shown = reference;

  function clamp(voxel, n) {
    return Math.min(Math.max(voxel, 0), n - 1);
  }

  function fail(message) {
    $("trouble").textContent = message;
    $("trouble").hidden = false;
  }

  // The inverse of pack in _layers.py.
  async function unpack(layer) {
    const text = atob($(`voxels-${layer.name}`).textContent);
    const packed = new Uint8Array(text.length);
    for (let n = 0; n < text.length; n++) packed[n] = text.charCodeAt(n);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const voxels = new Uint8Array(await new Response(stream).arrayBuffer());
    const [nx, ny, nz] = layer.shape;
    for (let z = 0, n = 0; z < nz; z++) {
      for (let y = 0; y < ny; y++) {
        for (let x = 0; x < nx; x++, n++) {
          const before =
            (x ? voxels[n - 1] : 0) + (y ? voxels[n - nx] : 0) + (z ? voxels[n - nx * ny] : 0);
          voxels[n] += (before / 3) | 0;
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
    const part = level / (layer.levels - 1);
    if (layer.colors === "gray") return Array(3).fill(Math.round(255 * part));
    const n = Math.min(Math.floor(8 * part), 7);
    return inferno[n].map((v, c) => Math.round(v + (8 * part - n) * (inferno[n + 1][c] - v)));
  }

  // One pixel for each level. Its bytes are red, green, blue and alpha, from the lowest to the
  // highest: browsers run on little-endian machines.
  function palette(layer) {
    const colors = new Uint32Array(layer.levels);
    for (let level = 0; level < layer.levels; level++) {
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

  function draw(view) {
    const layer = layers[shown];
    const { axis, canvas, context } = view;
    const [a, b] = [0, 1, 2].filter((other) => other !== axis);
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
    view.slider.value = cross[axis];
    const text = `slice ${cross[axis] + 1} of ${grid.shape[axis]}`;
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
        const sign = level === layer.levels - 1 ? "≥ " : level === 0 ? "≤ " : "";
        return `${layer.label} ${sign}${number(first + ((last - first) * level) / (layer.levels - 1))}`;
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
      bar.fillStyle = `rgb(${color(layer, (x / 255) * (layer.levels - 1))})`;
      bar.fillRect(x, 0, 1, 1);
    }
    $("first").textContent = number(layer.window[0]);
    $("last").textContent = number(layer.window[1]);
    $("note").textContent = layer.note;
    drawAll();
  }

  function moveTo(view, event) {
    const [a, b] = [0, 1, 2].filter((other) => other !== view.axis);
    const box = view.canvas.getBoundingClientRect();
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
    view.canvas = figure.querySelector("canvas");
    view.context = view.canvas.getContext("2d");
    view.slider = figure.querySelector("input");
    view.output = figure.querySelector("output");
    const longest = Math.max(...size);
    const pixelsPerMm = Math.min(Math.max(3, 900 / longest), 2048 / longest);
    [view.canvas.width, view.canvas.height] = size.map((mm) =>
      Math.max(1, Math.round(mm * pixelsPerMm)),
    );
    view.scale = [view.canvas.width / size[0], view.canvas.height / size[1]];
    view.slider.max = grid.shape[view.axis] - 1;
    view.slider.addEventListener("input", () => {
      cross[view.axis] = Number(view.slider.value);
      drawAll();
    });
    view.canvas.addEventListener("pointerdown", (event) => {
      view.canvas.setPointerCapture(event.pointerId);
      moveTo(view, event);
    });
    view.canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) moveTo(view, event);
    });
    // Widths of panels are proportional to the widths of slices, so that all have the same scale.
    figure.parentElement.style.setProperty(`--w${n}`, `minmax(0, ${size[0]}fr)`);
  }

  views.forEach(prepare);
  document.querySelectorAll('input[name="layer"]').forEach((input) => {
    input.addEventListener("change", () => show(Number(input.value)));
  });
  $("cross").addEventListener("change", drawAll);
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
      layer.palette = palette(layer);
      layer.voxels = await unpack(layer);
      show(shown);
    }
    document.body.dataset.ready = "true";
  } catch (error) {
    fail(`The slices cannot be shown: ${error}`);
  }
})();
