// An export of AssemblyScript is an identifier; the broker's functions have other names.
const names = {
  intercept: "tidegate:plugin/intercepting-publish@0.1.0#intercept",
};

export default class {
  afterCompile(module) {
    for (const [name, full] of Object.entries(names)) {
      module.removeExport(name);
      module.addFunctionExport(`assembly/index/${name}`, full);
    }
  }
}
