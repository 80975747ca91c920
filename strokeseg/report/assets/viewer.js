// The viewer: NiiVue on the volumes that came with the page.
"use strict";

(() => {
  const { Niivue, NVImage, SLICE_TYPE, SHOW_RENDER } = window.niivue;
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("case").textContent);
  const volumes = window.strokesegVolumes;
  const layers = new Map(data.layers.map((layer) => [layer.name, layer]));
  const tissueNames = new Map(data.tissues.map((tissue) => [tissue.index, tissue.name]));
  const images = new Map(); // what is loaded, by layer
  const scans = data.layers.map((layer) => layer.name).filter((name) => name.startsWith("scan"));
  // The lowest first.
  const ORDER = ["blank", ...scans, "tissue", "uncertainty", "probability", "truth", "mask"];
  const CONTROLLED = ORDER.filter((name) => name !== "blank");
  // Per cent of the field of view: a line of a fixed part of a voxel vanishes where voxels are small.
  const CROSSHAIR = 0.35;
  const VIEWS = {
    multi: SLICE_TYPE.MULTIPLANAR,
    axial: SLICE_TYPE.AXIAL,
    coronal: SLICE_TYPE.CORONAL,
    sagittal: SLICE_TYPE.SAGITTAL,
    render: SLICE_TYPE.RENDER,
  };

  const viewer = new Niivue({
    backColor: [0, 0, 0, 1],
    crosshairColor: [0.35, 0.75, 1, 0.9],
    crosshairGap: 6,
    crosshairWidth: CROSSHAIR,
    crosshairWidthUnit: "percent",
    dragAndDropEnabled: false,
    fontColor: [0.75, 0.77, 0.8, 1],
    isRadiologicalConvention: true,
    loadingText: "",
    logLevel: "error",
    sagittalNoseLeft: true, // as in the picture
    multiplanarShowRender: SHOW_RENDER.NEVER,
    multiplanarPadPixels: 6,
    show3Dcrosshair: true,
    tileMargin: 0,
  });

  // The axial slice is the large one.
  const PLANES = [
    { sliceType: SLICE_TYPE.AXIAL, position: [0, 0, 0.56, 1] },
    { sliceType: SLICE_TYPE.CORONAL, position: [0.57, 0, 0.43, 0.5] },
    { sliceType: SLICE_TYPE.SAGITTAL, position: [0.57, 0.5, 0.43, 0.5] },
  ];

  function look(view) {
    if (view === "multi") viewer.setCustomLayout(PLANES);
    else viewer.clearCustomLayout();
    viewer.setSliceType(VIEWS[view]);
  }

  // Entry 0 is what lies below the window: clear.
  viewer.addColormap("strokeseg-lesion", {
    R: [255, 255, 255], G: [150, 150, 150], B: [20, 20, 20], A: [0, 255, 255], I: [0, 1, 255],
  });
  viewer.addColormap("strokeseg-truth", {
    R: [20, 20, 20], G: [205, 205, 205], B: [170, 170, 170], A: [0, 255, 255], I: [0, 1, 255],
  });
  viewer.addColormap("strokeseg-uncertainty", {
    R: [48, 48, 200, 255], G: [18, 18, 52, 213], B: [59, 59, 31, 74],
    A: [0, 40, 190, 255], I: [0, 1, 128, 255],
  });
  viewer.addColormap("strokeseg-probability", {
    R: [50, 50, 60, 120, 255], G: [80, 80, 160, 230, 255], B: [255, 255, 255, 220, 190],
    A: [0, 60, 140, 220, 255], I: [0, 1, 85, 170, 255],
  });

  function labels() {
    const lut = { R: [], G: [], B: [], A: [], I: [], labels: [] };
    const colours = new Map(data.tissues.map((tissue) => [tissue.index, tissue.colour]));
    const last = Math.max(0, ...colours.keys());
    for (let index = 0; index <= last; index += 1) {
      const hex = colours.get(index) || "";
      const channel = (at) => (hex ? Number.parseInt(hex.slice(at, at + 2), 16) : 0);
      lut.R.push(channel(1));
      lut.G.push(channel(3));
      lut.B.push(channel(5));
      lut.A.push(hex ? 255 : 0);
      lut.I.push(index);
      lut.labels.push("");
    }
    return lut;
  }

  const LOOKS = {
    scan: { colormap: "gray", cal_min: 0, cal_max: 255 },
    blank: { colormap: "gray", cal_min: 0, cal_max: 1 },
    probability: { colormap: "strokeseg-probability", cal_min: 26, cal_max: 255 },
    uncertainty: { colormap: "strokeseg-uncertainty", cal_min: 10, cal_max: 255 },
    truth: { colormap: "strokeseg-truth", cal_min: 0.5, cal_max: 1 },
    mask: { colormap: "strokeseg-lesion", cal_min: 0.5, cal_max: 1 },
    tissue: { colormap: "gray", cal_min: 0, cal_max: 255 },
  };

  // ----- layers

  function opacity(name) {
    if (name === "blank") return 1;
    return find(`show-${name}`)?.checked ? Number(find(`opacity-${name}`).value) : 0;
  }

  async function load(name) {
    const image = await NVImage.loadFromBase64({
      base64: volumes[name], name: `${name}.nii.gz`, opacity: opacity(name),
      ...LOOKS[name.startsWith("scan") ? "scan" : name],
    });
    if (name === "mask") keepNumbers(image);
    if (name === "tissue") image.setColormapLabel(labels());
    delete volumes[name]; // the text is not needed again
    images.set(name, image);
    viewer.addVolume(image);
    const place = ORDER.filter((other) => images.has(other)).indexOf(name);
    if (place !== viewer.volumes.indexOf(image)) viewer.setVolume(image, place);
  }

  // A layer is unpacked when it is first looked at.
  let queue = Promise.resolve();
  function show(name) {
    queue = queue.then(async () => {
      if (!images.has(name)) {
        if (opacity(name) === 0) return;
        await load(name);
      }
      viewer.setOpacity(viewer.volumes.indexOf(images.get(name)), opacity(name));
      if (name === "tissue") find("legend").hidden = opacity(name) === 0;
      tell();
    }).catch(fail);
    return queue;
  }

  // The mask holds the number of each lesion's row; it is drawn in one colour.
  let numbers = null;
  function keepNumbers(image) {
    numbers = Uint8Array.from(image.img);
    for (let at = 0; at < image.img.length; at += 1) image.img[at] = image.img[at] ? 1 : 0;
  }

  function lesionAt() {
    const image = images.get("mask");
    const drawn = image.img;
    image.img = numbers; // the library knows which voxel of the file is meant
    const number = stored("mask");
    image.img = drawn;
    return number;
  }

  // The lesion's own outermost voxels are 2, so that a window can leave out what lies inside.
  let isOutlined = false;
  function outline(isWanted) {
    const image = images.get("mask");
    if (!image) return;
    if (!isOutlined) markBorder(image.img, image.hdr.dims);
    isOutlined = true;
    [image.cal_min, image.cal_max] = isWanted ? [1.5, 2] : [0.5, 1];
    viewer.updateGLVolume();
  }

  function markBorder(voxels, [, columns, rows, planes]) {
    const sizes = [columns, rows, planes];
    const steps = [1, columns, columns * rows];
    for (let at = 0; at < voxels.length; at += 1) {
      if (!voxels[at]) continue;
      const isInside = steps.every((step, axis) => {
        const place = Math.floor(at / step) % sizes[axis];
        return place > 0 && place < sizes[axis] - 1 && voxels[at - step] && voxels[at + step];
      });
      if (!isInside) voxels[at] = 2;
    }
  }

  // ----- the crosshair

  function position() {
    const place = viewer.frac2mm(viewer.scene.crosshairPos, 0, true);
    return [place[0], place[1], place[2]];
  }

  function jump(place) {
    viewer.scene.crosshairPos = viewer.mm2frac(place, 0, true);
    viewer.drawScene();
    tell();
  }

  function side(value, positive, negative) {
    return `${value < 0 ? negative : positive} ${Math.abs(value).toFixed(1)}`;
  }

  function stored(name) {
    const image = images.get(name);
    const voxel = image.mm2vox(position());
    const inside = voxel.every((v, axis) => v >= 0 && v < image.dimsRAS[axis + 1]);
    return inside ? image.getValue(...voxel) : null;
  }

  function worth(name) {
    const raw = images.has(name) ? stored(name) : null;
    if (raw === null || Number.isNaN(raw)) return null;
    if (name === "tissue") return `class ${tissueNames.get(raw) ?? raw}`;
    if (name === "mask") return raw > 0 ? lesionName(lesionAt()) : "no lesion";
    if (name === "truth") return raw > 0 ? "truth: lesion" : "truth: none";
    const scaled = raw * layers.get(name).slope + layers.get(name).inter;
    if (name === "probability") return `p ${scaled.toFixed(2)}`;
    if (name === "uncertainty") return `entropy ${scaled.toFixed(2)} nat`;
    return `${name.replace("scan-", "") || "scan"} ${Number(scaled.toPrecision(3))}`;
  }

  function lesionName(number) {
    return number > 0 && number < 255 ? `lesion ${number}` : "lesion";
  }

  function tell() {
    const [x, y, z] = position();
    find("position").textContent =
      `${side(x, "R", "L")}   ${side(y, "A", "P")}   ${side(z, "S", "I")} mm`;
    const told = [...scans, "mask", "probability", "tissue", "uncertainty", "truth"];
    const found = told.map(worth).filter((w) => w !== null);
    find("values").textContent = found.join(" · ");
  }

  // ----- controls

  function connect() {
    for (const name of CONTROLLED) {
      if (!layers.has(name)) continue;
      find(`show-${name}`).addEventListener("change", () => show(name));
      find(`opacity-${name}`).addEventListener("input", () => {
        find(`show-${name}`).checked = true;
        show(name);
      });
    }
    find("view").addEventListener("change", (event) => look(event.target.value));
    find("convention").addEventListener("change", (event) => {
      const isRadiological = event.target.value === "radiological";
      viewer.setRadiologicalConvention(isRadiological);
      window.strokesegReview.setSetting("convention", event.target.value);
    });
    find("outline").addEventListener("change", (event) => {
      queue = queue.then(() => outline(event.target.checked)).catch(fail);
    });
    find("crosshair").addEventListener("change", (event) => {
      viewer.opts.crosshairWidth = event.target.checked ? CROSSHAIR : 0;
      viewer.opts.show3Dcrosshair = event.target.checked;
      viewer.drawScene();
    });
    document.addEventListener("strokeseg-jump", (event) => jump(event.detail));
    viewer.onLocationChange = tell;
  }

  function fail(error) {
    find("curtain").hidden = false;
    find("curtain").textContent = `The viewer cannot draw here (${error?.message ?? error}). ` +
      "It needs WebGL 2; the picture below shows the result.";
    document.documentElement.dataset.viewer = "failed";
  }

  async function start() {
    if (!document.createElement("canvas").getContext("webgl2")) throw new Error("no WebGL 2");
    await viewer.attachToCanvas(find("canvas"));
    if (window.strokesegReview.getSetting("convention") === "neurological") {
      find("convention").value = "neurological";
      viewer.setRadiologicalConvention(false);
    }
    for (const name of ORDER) {
      if (layers.has(name) && opacity(name) > 0) await load(name);
    }
    connect();
    look("multi");
    jump(data.jumps.find(Boolean) ?? position());
    find("curtain").hidden = true;
    document.documentElement.dataset.viewer = "ready";
  }

  window.strokesegViewer = { viewer, images, position };
  start().catch(fail);
})();
